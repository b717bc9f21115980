/** What a replay prints in the end: for people a table, for programs JSON. */
import { formatSize } from '../../core/bytes/sizes.ts';
import type { Histogram } from '../../core/trace/histogram.ts';
import type { Kind, Measured, Side } from '../../core/trace/measured.ts';
import { type TraceOp, traceOps } from '../../core/trace/record.ts';
import type { ReplayResult } from '../../core/trace/replay.ts';
import type { TraceSource } from '../../core/trace/source.ts';
import type { VerifyResult } from '../../core/trace/verifier.ts';
import type { Io } from '../cli/io.ts';
import { prettyJson, row } from '../cli/output.ts';

export interface ReplayReport extends ReplayResult {
  readonly verified: VerifyResult | undefined;
  readonly source: TraceSource;
}

export const quantiles = [
  ['p50', 0.5],
  ['p90', 0.9],
  ['p99', 0.99],
  ['p99.9', 0.999],
] as const;

export function printReport(report: ReplayReport, options: { output: 'human' | 'json'; check: boolean }, io: Io): void {
  if (options.output === 'json') {
    io.stdout.write(`${prettyJson(jsonReport(report))}\n`);
    return;
  }
  const lines = options.check ? [] : [...table(report), '', ...summary(report)];
  io.stdout.write(`${[...lines, ...verifyLine(report.verified)].join('\n')}\n`);
}

const WIDTHS = [-9, -9, 9, 10, 7, 9, 9, 9, 9, 9, 9] as const;

function line(...cells: readonly (string | number)[]): string {
  return row(...cells.map((cell, index) => [cell, WIDTHS[index] ?? 9] as const)).trimEnd();
}

function table({ measured }: ReplayReport): string[] {
  const head = line('', '', 'requests', 'bytes', 'errors', 'mean', ...quantiles.map(([name]) => name), 'max');
  const kinds = inOrder(measured).flatMap(([op, kind]) => kindLines(op, kind));
  return [head, ...kinds, ...(measured.kinds.size > 1 ? kindLines('all', measured.total) : [])];
}

function inOrder({ kinds }: Measured): (readonly [TraceOp, Kind])[] {
  return traceOps.flatMap((op) => {
    const kind = kinds.get(op);
    return kind ? [[op, kind] as const] : [];
  });
}

function kindLines(name: string, { recorded, replayed }: Kind): string[] {
  return [sideLine(name, 'recorded', recorded), sideLine('', 'replayed', replayed)];
}

function sideLine(name: string, which: string, { count, bytes, errors, latency }: Side): string {
  const values = [latency.mean, ...quantiles.map(([, part]) => latency.quantile(part)), latency.max];
  return line(name, which, count, formatSize(bytes), errors, ...values.map((value) => timeCell(latency, value)));
}

function timeCell(latency: Histogram, value: number): string {
  return latency.count === 0 ? '-' : durationText(value);
}

/** Nanoseconds in three digits or a little more: `840 ns`, `12.3 us`, `1.50 s`. */
export function durationText(ns: number): string {
  const units = [
    [1e9, 's'],
    [1e6, 'ms'],
    [1e3, 'us'],
  ] as const;
  for (const [size, unit] of units) {
    if (ns >= size) return `${(ns / size).toPrecision(Math.max(3, Math.floor(ns / size).toString().length))} ${unit}`;
  }
  return `${Math.round(ns)} ns`;
}

function summary({ recordedTime, replayedTime, leftOut, newErrors, measured }: ReplayReport): string[] {
  const { count } = measured.total.replayed;
  const rate = Math.round(count / Math.max(1e-9, replayedTime / 1e9));
  const recorded = recordedTime > 0 ? `, recorded in ${durationText(recordedTime)}` : '';
  return [
    `${count} requests in ${durationText(replayedTime)} (${rate} per second)${recorded}`,
    ...(leftOut > 0 ? [`${leftOut} requests left out`] : []),
    ...(newErrors > 0 ? [`${newErrors} requests failed that had not failed in the recording`] : []),
  ];
}

function verifyLine(verified: VerifyResult | undefined): string[] {
  if (!verified) return [];
  const { bytes, mismatches, partial } = verified;
  const what = mismatches === 0 ? 'all as written' : `${mismatches} ranges differ`;
  const rest = partial ? '; not all could be kept in mind' : '';
  return [`verified ${formatSize(bytes)}: ${what}${rest}`];
}

function jsonReport(report: ReplayReport): unknown {
  const { measured, source, verified } = report;
  const kinds = [...inOrder(measured), ['all', measured.total] as const];
  return {
    trace: source.path,
    format: source.parser?.format,
    complete: source.incomplete === undefined,
    'recorded-ns': Math.round(report.recordedTime),
    'replayed-ns': Math.round(report.replayedTime),
    'left-out': report.leftOut,
    'new-errors': report.newErrors,
    requests: Object.fromEntries(kinds.map(([op, kind]) => [op, jsonKind(kind)])),
    verify: verified && {
      bytes: verified.bytes,
      mismatches: verified.mismatches,
      partial: verified.partial,
    },
  };
}

function jsonKind({ recorded, replayed }: Kind): unknown {
  return { recorded: jsonSide(recorded), replayed: jsonSide(replayed) };
}

function jsonSide({ count, bytes, errors, latency }: Side): unknown {
  const known = latency.count > 0;
  return {
    count,
    bytes,
    errors,
    'latency-ns': known
      ? {
          mean: Math.round(latency.mean),
          ...Object.fromEntries(quantiles.map(([name, part]) => [name, latency.quantile(part)])),
          max: latency.max,
        }
      : undefined,
  };
}
