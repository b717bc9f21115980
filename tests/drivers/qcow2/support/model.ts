/** Random requests with many in flight, and what they must do to a disk. */
import { expect } from 'vitest';
import type { Edge } from '../../../../src/core/block/graph/edge.ts';

export interface Layout {
  readonly name: string;
  /** For `qemu-img create -o`. */
  readonly options: string;
  readonly size: number;
  /** Length of a backing file. */
  readonly backing?: number;
  readonly dataFile?: boolean;
  readonly raw?: boolean;
  readonly snapshot?: boolean;
  readonly runtime?: Record<string, unknown>;
}

export interface ModelRun {
  readonly edge: Edge;
  readonly model: Buffer;
  readonly random: (below: number) => number;
  readonly layout: Layout;
  readonly steps: number;
}

interface Busy {
  readonly from: number;
  readonly to: number;
  readonly done: Promise<void>;
}

const MAX_IN_FLIGHT = 16;

/** Requests that overlap one in flight wait for it: what two of them do to each other is not defined. */
export async function runModel(run: ModelRun): Promise<void> {
  const busy = new Set<Busy>();
  for (let step = 0; step < run.steps; step++) {
    const { from, to } = pick(run);
    for (const other of busy) if (other.from < to && from < other.to) await other.done;
    while (busy.size >= MAX_IN_FLIGHT) await Promise.race([...busy].map((other) => other.done));
    const entry: Busy = { from, to, done: operate(run, from, to).finally(() => busy.delete(entry)) };
    entry.done.catch(() => undefined);
    busy.add(entry);
  }
  await Promise.all([...busy].map((entry) => entry.done));
}

function pick({ random, layout }: ModelRun): { from: number; to: number } {
  const unit = [512, 512, 4096, 65536][random(4)] ?? 512;
  const longest = Math.min(layout.size, [2048, 16384, 262144, 2097152][random(4)] ?? 2048);
  const from = Math.floor(random(layout.size) / unit) * unit;
  const length = Math.max(512, Math.ceil(random(longest) / unit) * unit);
  return { from, to: Math.min(layout.size, from + length) };
}

async function operate(run: ModelRun, from: number, to: number): Promise<void> {
  const { edge, model, random } = run;
  const length = to - from;
  switch (random(10)) {
    case 0:
    case 1:
    case 2: {
      const before = Buffer.from(model.subarray(from, to));
      const content = Buffer.alloc(length, 0xee);
      await edge.read(from, content);
      const at = content.compare(before) === 0 ? -1 : content.findIndex((byte, index) => byte !== before[index]);
      expect(at, `read of ${length} at ${from}: wrong at ${from + at}`).toBe(-1);
      return;
    }
    case 3:
    case 4:
    case 5: {
      const data = Buffer.alloc(length);
      for (let at = 0; at < length; at += 512) data.fill(random(8) === 0 ? 0 : 1 + random(255), at, at + 512);
      const cut = random(length);
      await edge.writev(from, cut > 0 ? [data.subarray(0, cut), data.subarray(cut)] : [data], 0);
      data.copy(model, from);
      return;
    }
    case 6:
      await edge.zero(from, length, random(2) === 0 ? 2 : 0);
      model.fill(0, from, to);
      return;
    case 7:
      return discard(run, from, to);
    case 8:
      return compressed(run, from, to);
    default:
      await edge.flush();
  }
}

/** Discarded clusters read as zeroes; the ends that are no whole clusters stay. */
async function discard({ edge, model, layout }: ModelRun, from: number, to: number): Promise<void> {
  const unit = edge.limits.discardAlignment ?? 1;
  const start = Math.ceil(from / unit) * unit;
  const end = to === layout.size ? to : Math.floor(to / unit) * unit;
  await edge.discard(from, to - from);
  // Version 2 cannot hide a backing file, so nothing happens there.
  if (layout.backing && layout.options.includes('compat=0.10')) return;
  if (end > start) model.fill(0, start, end);
}

async function compressed(run: ModelRun, from: number, to: number): Promise<void> {
  const { edge, model, layout, random } = run;
  if (layout.dataFile) return;
  const unit = edge.limits.discardAlignment ?? 1;
  const start = Math.ceil(from / unit) * unit;
  const end = to === layout.size ? to : Math.floor(to / unit) * unit;
  if (end <= start) return;
  const data = Buffer.alloc(end - start);
  for (let at = 0; at < data.length; at += 64) data.fill(1 + random(4), at, at + 64);
  if (random(4) === 0) for (let at = 0; at < data.length; at++) data[at] = random(256);
  await edge.writeCompressed(start, data);
  data.copy(model, start);
}
