/**
 * Accounting: how many requests there were, how much they moved, how they ended and how long they took.
 *
 * Here belong the counters of a node or a backend, intervals with averages, and histograms of latencies. Here does
 * not belong who asks for them, nor in which words they are told (control socket, stats socket, metrics).
 */
export { accounted, accountedRead, accountedWrite } from './accounted.ts';
export { Accounting } from './accounting.ts';
export { IO_KINDS, type IoKind, KindCounters } from './counters.ts';
export { Histogram, type HistogramState } from './histogram.ts';
export { Interval, type IntervalReport } from './interval.ts';
