/** What `query-blockstats` tells, as the schema of the control socket and docs/qmp.md have it. */
import type { Fields } from '../options/field.ts';
import { anything, bool, group, integer, list, number, text } from '../options/fields.ts';
import { named } from './shape.ts';

const required = { required: true } as const;
const count = (help: string) => integer({ help, ...required });

/** Requests by the short names that they have on the wire; `flush` has no bytes. */
const WORDS = {
  rd: 'reads',
  wr: 'writes',
  flush: 'flushes',
  unmap: 'discards',
  zone_append: 'appends to zones, of which there are none',
};
type Word = keyof typeof WORDS;
const WITH_BYTES: readonly Word[] = ['rd', 'wr', 'unmap', 'zone_append'];
const COUNTED: readonly Word[] = ['rd', 'wr', 'flush', 'unmap'];
const TIMED: readonly Word[] = ['rd', 'wr', 'flush', 'zone_append'];
const QUEUED: readonly Word[] = ['rd', 'wr', 'zone_append'];

/** Fields for each of some kinds of requests. */
function each(words: readonly Word[], fieldsOf: (word: Word, requests: string) => Fields): Fields {
  return Object.assign({}, ...words.map((word) => fieldsOf(word, WORDS[word])));
}

const histogram = (requests: string) =>
  group(
    {
      boundaries: list(count('Nanoseconds'), { help: 'Where a bin ends and the next begins', ...required }),
      bins: list(count('Requests'), { help: 'Requests in each bin, one more than there are boundaries', ...required }),
    },
    { help: `How long ${requests} took, where block-latency-histogram-set asks for it` },
  );

const interval = {
  interval_length: count('Seconds'),
  ...each(TIMED, (word, requests) => ({
    [`min_${word}_latency_ns`]: count(`Shortest time of ${requests}, in nanoseconds`),
    [`max_${word}_latency_ns`]: count(`Longest time of ${requests}, in nanoseconds`),
    [`avg_${word}_latency_ns`]: count(`Mean time of ${requests}, in nanoseconds`),
  })),
  ...each(QUEUED, (word, requests) => ({
    [`avg_${word}_queue_depth`]: number({ help: `Mean number of ${requests} under way`, ...required }),
  })),
};

export const deviceStatsFields: Fields = {
  ...each(Object.keys(WORDS) as Word[], (word, requests) => ({
    [`${word}_operations`]: count(`Number of ${requests} that succeeded`),
    [`${word}_total_time_ns`]: count(`Nanoseconds that ${requests} took in all`),
    [`failed_${word}_operations`]: count(`Number of ${requests} that failed`),
    [`invalid_${word}_operations`]: count(`Number of ${requests} that could not be right`),
  })),
  ...each(WITH_BYTES, (word, requests) => ({
    [`${word}_bytes`]: count(`Bytes of ${requests}`),
    [`${word}_merged`]: count(`Number of ${requests} that were joined with another`),
  })),
  ...each(COUNTED, (word, requests) => ({
    [`x-blockyard-${word}-in-flight`]: count(`Number of ${requests} under way (ours)`),
    [`${word}_latency_histogram`]: histogram(requests),
  })),
  wr_highest_offset: count('Highest byte written to, and one more'),
  idle_time_ns: integer({ help: 'Nanoseconds since the last request' }),
  account_invalid: bool({ help: 'Requests that could not be right count as requests', ...required }),
  account_failed: bool({ help: 'Failed requests have their time and place counted', ...required }),
  timed_stats: list(group(interval, { help: 'Of the last while', ...required }), {
    help: 'One for each of the intervals that were asked for',
    ...required,
  }),
};

export const blockStatsFields = {
  device: text({ help: 'Id of the export' }),
  'node-name': text({ help: 'The node', ...required }),
  stats: named(
    'BlockDeviceStats',
    anything({ help: 'The numbers: docs/accounting.md says what each means', ...required }),
  ),
  parent: named('BlockStats', anything({ help: "The same of the child with the node's own data" })),
  backing: named('BlockStats', anything({ help: 'The same of the backing file' })),
};
