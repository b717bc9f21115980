/** Requests for tests of traces. */
import type { TraceRequest } from '../../../src/core/trace/record.ts';
import { TraceSource } from '../../../src/core/trace/source.ts';

export function request(fields: Partial<TraceRequest> = {}): TraceRequest {
  return {
    number: 0,
    start: 0,
    end: 1000,
    op: 'read',
    offset: 0,
    length: 512,
    flags: 0,
    result: 0,
    depth: 1,
    node: 'd',
    ...fields,
  };
}

/** The text of a trace of ours. */
export function traceText(requests: readonly TraceRequest[], { size = 1 << 20, footer = true } = {}): string {
  const clock = { source: 'monotonic', unit: 'ns', start: '2025-01-01T00:00:00.000Z' };
  const header = { format: 'blockyard-trace', version: 1, program: 'test', clock, node: 'd', size, file: 'd.img' };
  const lines = requests.map(({ number, ...rest }) => ({ n: number, ...rest }));
  const all = [header, ...lines, ...(footer ? [{ requests: requests.length }] : [])];
  return all.map((line) => `${JSON.stringify(line)}\n`).join('');
}

/** All requests of a trace file, in the order of issue. */
export async function readTrace(path: string): Promise<{ requests: TraceRequest[]; source: TraceSource }> {
  const source = new TraceSource(path);
  const requests: TraceRequest[] = [];
  for await (const group of source.requests()) requests.push(...group);
  return { requests, source };
}

/** A mixed workload in which up to eight requests overlap; the same for the same seed. */
export function workload(count: number, size: number, seed = 1): TraceRequest[] {
  let state = seed;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const lanes = new Array<number>(8).fill(0);
  let time = 0;
  return Array.from({ length: count }, (_, number) => {
    const lane = below(lanes.length);
    time = Math.max(time + below(40_000), lanes[lane] ?? 0);
    const end = time + 20_000 + below(800_000);
    lanes[lane] = end;
    const chance = below(100);
    const op = chance < 45 ? 'read' : chance < 80 ? 'write' : chance < 88 ? 'zero' : chance < 95 ? 'discard' : 'flush';
    const length = op === 'flush' ? 0 : 512 * (1 + below(op === 'read' || op === 'write' ? 64 : 256));
    const offset = op === 'flush' ? 0 : 512 * below((size - length) / 512);
    const flags = op === 'write' && below(10) === 0 ? 1 : op === 'zero' && below(2) === 0 ? 2 : 0;
    return request({ number, start: time, end, op, offset, length, flags });
  });
}
