/** Accounts in the words of the control socket. */
import type { Accounting } from '../block/accounting/accounting.ts';
import { IO_KINDS, type IoKind } from '../block/accounting/counters.ts';
import type { HistogramState } from '../block/accounting/histogram.ts';
import type { IntervalReport } from '../block/accounting/interval.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import type { Edge } from '../block/graph/edge.ts';
import type { Node } from '../block/graph/node.ts';
import { namedBackends } from './backends.ts';

export interface BlockStats {
  readonly device?: string;
  readonly 'node-name': string;
  readonly stats: Readonly<Record<string, unknown>>;
  /** The child that holds the node's own data, and the backing file, in full. */
  readonly parent?: BlockStats;
  readonly backing?: BlockStats;
}

/** What `query-blockstats` tells: of all exports, or of all nodes. */
export function blockStats(graph: BlockGraph, ofNodes: boolean): BlockStats[] {
  if (ofNodes) return [...graph.nodes.values()].map((node) => nodeStats(node));
  return [...namedBackends(graph)].map((backend) => {
    const below = nodeStats(backend.image);
    return { device: backend.name ?? '', ...below, stats: statsOf(backend.accounts) };
  });
}

/** Chains are long now and then: what lies further down is told by its own entry, not within others without end. */
const NESTING = 8;

function nodeStats(node: Node, depth = 0): BlockStats {
  const below = (edge: Edge | undefined) => (edge && depth < NESTING ? nodeStats(edge.node, depth + 1) : undefined);
  const parent = below(node.primary);
  const backing = below(node.backing);
  return {
    'node-name': node.name,
    stats: statsOf(node.accounts),
    ...(parent ? { parent } : {}),
    ...(backing ? { backing } : {}),
  };
}

/** The wire has a short name for each kind. */
const WORD: Readonly<Record<IoKind, string>> = { read: 'rd', write: 'wr', flush: 'flush', unmap: 'unmap' };

/** Zones of devices are not written to by appending here; clients expect the members all the same. */
const NO_APPENDS = {
  zone_append_bytes: 0,
  zone_append_operations: 0,
  zone_append_total_time_ns: 0,
  zone_append_merged: 0,
  failed_zone_append_operations: 0,
  invalid_zone_append_operations: 0,
};

export function statsOf(accounts: Accounting): Readonly<Record<string, unknown>> {
  const { idle } = accounts;
  const { accountFailed, accountInvalid } = accounts.options;
  const stats: Record<string, unknown> = { ...NO_APPENDS };
  for (const kind of IO_KINDS) Object.assign(stats, kindStats(accounts, kind));
  return {
    ...stats,
    wr_highest_offset: accounts.highestWrite,
    ...(idle === undefined ? {} : { idle_time_ns: Math.round(idle) }),
    account_invalid: accountInvalid,
    account_failed: accountFailed,
    timed_stats: accounts.intervals.map(intervalStats),
  };
}

function kindStats(accounts: Accounting, kind: IoKind): Record<string, unknown> {
  const word = WORD[kind];
  const counters = accounts[kind];
  const histogram = accounts.histogram(kind);
  return {
    ...(kind === 'flush' ? {} : { [`${word}_bytes`]: counters.bytes, [`${word}_merged`]: counters.merged }),
    [`${word}_operations`]: counters.operations,
    [`${word}_total_time_ns`]: Math.round(counters.time),
    [`failed_${word}_operations`]: counters.failed,
    [`invalid_${word}_operations`]: counters.invalid,
    [`x-blockyard-${word}-in-flight`]: counters.inFlight,
    ...(histogram ? { [`${word}_latency_histogram`]: wire(histogram) } : {}),
  };
}

function wire({ boundaries, bins }: HistogramState): HistogramState {
  return { boundaries, bins };
}

function intervalStats({ seconds, kinds }: IntervalReport): Readonly<Record<string, unknown>> {
  const stats: Record<string, unknown> = { interval_length: seconds };
  for (const kind of ['read', 'write', 'flush'] as const) {
    const { min, max, average, depth } = kinds[kind];
    stats[`min_${WORD[kind]}_latency_ns`] = Math.round(min);
    stats[`max_${WORD[kind]}_latency_ns`] = Math.round(max);
    stats[`avg_${WORD[kind]}_latency_ns`] = average;
    if (kind !== 'flush') stats[`avg_${WORD[kind]}_queue_depth`] = depth;
  }
  const none = { min_zone_append_latency_ns: 0, max_zone_append_latency_ns: 0, avg_zone_append_latency_ns: 0 };
  return { ...stats, ...none, avg_zone_append_queue_depth: 0 };
}
