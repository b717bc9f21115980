/**
 * What the images of the matrix hold: per layer a list of writes, zero-writes and discards, which can be applied
 * by us, by qemu-io, and to a plain buffer that says what must come out.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Flag } from '../../src/core/block/driver.ts';
import { openDisk } from '../support/disk.ts';
import { peerOutput } from '../support/peers.ts';
import { Random } from '../support/random.ts';
import type { Layout } from './layout.ts';

const KIB = 1024;
const SECTOR = 512;

export interface Step {
  readonly action: 'write' | 'compressed' | 'zero' | 'zero-unmap' | 'discard';
  readonly offset: number;
  readonly length: number;
  /** For writes. */
  readonly pattern?: PatternName;
}

export interface Layer {
  readonly size: number;
  readonly steps: readonly Step[];
  /** Raw below the image itself, now and then. */
  readonly format: 'qcow2' | 'raw';
}

/** A write repeats its pattern from the start. */
const PATTERNS = {
  random: new Random(7).bytes(96 * KIB + SECTOR),
  text: Buffer.from('All that is written twice can be said in less. '.repeat(700)).subarray(0, 32 * KIB),
  sparse: Buffer.concat([Buffer.alloc(3 * KIB), Buffer.from('x'.repeat(KIB)), Buffer.alloc(12 * KIB)]),
} as const;

export type PatternName = keyof typeof PATTERNS;

/** Write the pattern files that qemu-io takes its data from. */
export function writePatterns(folder: string): void {
  for (const [name, bytes] of Object.entries(PATTERNS)) writeFileSync(join(folder, `${name}.pattern`), bytes);
}

/** The chain of a layout, bottom first. */
export function planChain(layout: Layout, seed: number): Layer[] {
  const random = new Random(seed);
  const { clusterSize, depth } = layout;
  const top = Math.max(1024 * KIB, Math.ceil(clusterSize * 2.5)) + random.below(2 * KIB) * SECTOR;
  const layers: Layer[] = [];
  let size = top;
  for (let level = depth; level >= 0; level--) {
    const isTop = level === depth;
    const format = !isTop && level === 0 && random.chance(0.4) ? 'raw' : 'qcow2';
    layers.unshift({ size, format, steps: planSteps(layout, { size, format, isTop }, random) });
    if (layout.backingLength === 'shorter') size = Math.max(SECTOR, Math.floor((size * 0.7) / SECTOR) * SECTOR);
    if (layout.backingLength === 'longer') size = Math.ceil((size * 1.3) / SECTOR) * SECTOR;
  }
  return layers;
}

function planSteps(
  layout: Layout,
  layer: { readonly size: number; readonly format: string; readonly isTop: boolean },
  random: Random,
): Step[] {
  const { clusterSize } = layout;
  const { size } = layer;
  const steps: Step[] = [];
  const clusters = Math.floor(size / clusterSize);
  const compress = layout.compression !== 'none' && layer.format === 'qcow2';
  if (compress) steps.push(...compressedSteps(clusterSize, clusters, random));
  // Discards become zeroes only where zero clusters exist, or nothing lies below.
  const mayDiscard =
    layer.format === 'qcow2' && layout.dataFile !== 'raw' && (layout.compat === '1.1' || layout.depth === 0);
  for (let count = random.between(6, 14); count > 0; count--) {
    const kind = random.below(10);
    if (kind < 6 || clusters < 2) {
      steps.push({ action: 'write', ...range(size, random), pattern: random.pick(['random', 'text', 'sparse']) });
    } else if (kind < 9) {
      steps.push({ action: random.pick(['zero', 'zero-unmap']), ...range(size, random) });
    } else if (mayDiscard) {
      const first = random.below(clusters);
      const length = random.between(1, Math.min(clusters - first, 8)) * clusterSize;
      steps.push({ action: 'discard', offset: first * clusterSize, length });
    }
  }
  return steps;
}

/** Only clusters without content can be written compressed, so these come first and do not overlap. */
function compressedSteps(clusterSize: number, clusters: number, random: Random): Step[] {
  const steps: Step[] = [];
  for (let at = random.below(2); at < clusters && steps.length < 6; ) {
    const count = Math.min(random.between(1, Math.max(1, Math.floor((256 * KIB) / clusterSize))), clusters - at);
    steps.push({
      action: 'compressed',
      offset: at * clusterSize,
      length: count * clusterSize,
      pattern: random.pick(['random', 'text', 'text', 'sparse']),
    });
    at += count + random.below(Math.ceil(clusters / 4));
  }
  return steps;
}

/** Bytes anywhere, about half of them at sector boundaries. */
function range(size: number, random: Random): { offset: number; length: number } {
  const unit = random.chance(0.5) ? SECTOR : 1;
  const offset = Math.floor(random.below(size) / unit) * unit;
  const length = Math.max(unit, Math.floor(random.magnitude(512 * KIB) / unit) * unit);
  return { offset, length: Math.min(length, size - offset) };
}

/** What a reader of the top layer must see. */
export function expectedContent(layers: readonly Layer[]): Buffer {
  let content = Buffer.alloc(0);
  for (const { size, steps } of layers) {
    const next = Buffer.alloc(size);
    content.copy(next);
    content = next;
    for (const { action, offset, length, pattern } of steps) {
      if (pattern === undefined || action === 'discard') content.fill(0, offset, offset + length);
      else fillPattern(content.subarray(offset, offset + length), pattern);
    }
  }
  return content;
}

function fillPattern(target: Buffer, pattern: PatternName): void {
  const bytes = PATTERNS[pattern];
  for (let at = 0; at < target.length; at += bytes.length) bytes.copy(target, at);
}

/** Apply the steps with our own block layer. */
export async function applyHere(file: string, layer: Layer, clusterSize: number): Promise<void> {
  const spec = { driver: layer.format, file: { driver: 'file', filename: file } };
  const disk = await openDisk(spec, { writable: true, modes: { unmap: true } });
  try {
    for (const { action, offset, length, pattern } of layer.steps) {
      const data = Buffer.alloc(length);
      if (pattern !== undefined) fillPattern(data, pattern);
      if (action === 'write') await disk.write(offset, data);
      else if (action === 'discard') await disk.discard(offset, length);
      else if (action === 'compressed') {
        for (let at = 0; at < length; at += clusterSize) {
          await disk.writeCompressed(offset + at, data.subarray(at, at + clusterSize));
        }
      } else await disk.zero(offset, length, action === 'zero-unmap' ? Flag.MAY_UNMAP : 0);
    }
    await disk.flush();
  } finally {
    await disk.close();
  }
}

const QEMU_IO_VERBS: Readonly<Record<Step['action'], string>> = {
  write: 'write',
  compressed: 'write -c',
  zero: 'write -z',
  'zero-unmap': 'write -z -u',
  discard: 'discard',
};

/** Apply the steps with qemu-io. */
export async function applyThere(file: string, layer: Layer, patterns: string): Promise<void> {
  const commands = layer.steps.map(({ action, offset, length, pattern }) => {
    const source = pattern === undefined ? '' : `-s ${join(patterns, `${pattern}.pattern`)} `;
    return `${QEMU_IO_VERBS[action]} -q ${source}${offset} ${length}`;
  });
  const words = commands.flatMap((command) => ['-c', command]);
  const output = await peerOutput('qemu-io', ['-d', 'unmap', '-t', 'unsafe', '-f', layer.format, ...words, file]);
  if (output.trim() !== '') throw new Error(`qemu-io: ${output}`);
}
