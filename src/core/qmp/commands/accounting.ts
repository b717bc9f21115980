/** What requests there were, and how long they took. */

import type { IoKind } from '../../block/accounting/counters.ts';
import { bool, bytes, group, list, text } from '../../options/fields.ts';
import { setIntervals, statsInterval } from '../backend-settings.ts';
import { accountsOf } from '../backends.ts';
import { type AnyCommand, command } from '../record.ts';
import { blockStats } from '../stats.ts';
import { blockStatsFields } from '../stats-types.ts';

const required = { required: true } as const;

const queryStats = command({
  name: 'query-blockstats',
  help: 'Tell how many requests there were, how they ended and how long they took',
  arguments: { 'query-nodes': bool({ help: 'Of every node, rather than of every export', default: false }) },
  returns: list(group(blockStatsFields, { help: 'An export or a node', ...required }), {
    help: 'Exports or nodes',
    ...required,
  }),
  run: ({ 'query-nodes': nodes }, { service }) => blockStats(service.graph, nodes),
});

const boundaries = (help: string) => list(bytes({ help: 'Nanoseconds', ...required }), { help });

const setHistogram = command({
  name: 'block-latency-histogram-set',
  help: 'Count latencies in bins with these boundaries from now on; without boundaries, no more (ours: QEMU has it for machines)',
  arguments: {
    id: text({ help: 'Id of an export, or name of a node', ...required }),
    boundaries: boundaries('For all kinds of requests that have none of their own'),
    'boundaries-read': boundaries('For reads'),
    'boundaries-write': boundaries('For writes'),
    'boundaries-flush': boundaries('For flushes'),
    'boundaries-unmap': boundaries('For discards (ours)'),
  },
  run(args, { service }) {
    const accounts = accountsOf(service.graph, args.id);
    const kinds: readonly [IoKind, number[] | undefined][] = [
      ['read', args['boundaries-read']],
      ['write', args['boundaries-write']],
      ['flush', args['boundaries-flush']],
      ['unmap', args['boundaries-unmap']],
    ];
    const all = args.boundaries === undefined && kinds.every(([, own]) => own === undefined);
    for (const [kind, own] of kinds) {
      const wanted = own ?? args.boundaries;
      // Other kinds keep what they have, unless all are called off.
      if (wanted !== undefined || all) accounts.setHistogram(kind, wanted);
    }
  },
});

const setStatsIntervals = command({
  name: 'x-blockyard-stats-intervals-set',
  help: 'Keep averages over the last seconds too, as timed_stats; an empty list for none',
  features: ['unstable'],
  arguments: {
    id: text({ help: 'Id of an export, or name of a node', ...required }),
    intervals: list(statsInterval, { help: 'Their lengths', ...required }),
  },
  run: ({ id, intervals }, { service }) => setIntervals(accountsOf(service.graph, id), intervals),
});

export const accountingCommands: readonly AnyCommand[] = [queryStats, setHistogram, setStatsIntervals];
