/** What the model test does to a disk: random actions, and how each runs. */
import type { Backend } from '../../src/core/block/backend/backend.ts';
import { Flag } from '../../src/core/block/driver.ts';
import type { Random } from '../support/random.ts';
import type { Subject } from './layouts.ts';

export interface Action {
  readonly kind: 'read' | 'write' | 'writev' | 'compressed' | 'zero' | 'discard' | 'flush';
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
  /** What a write writes. */
  readonly data?: Buffer;
}

const KINDS: readonly (readonly [Action['kind'], number])[] = [
  ['read', 25],
  ['write', 35],
  ['writev', 8],
  ['zero', 14],
  ['discard', 8],
  ['compressed', 5],
  ['flush', 5],
];

/** Any action that the disk can do, on any range of it. */
export function randomAction(size: number, subject: Subject, random: Random): Action {
  const kind = randomKind(random);
  if (kind === 'flush') return { kind, offset: 0, length: 0, flags: 0 };
  if (kind === 'compressed') return compressedAction(size, subject, random);
  const unit = random.pick([1, 512, 4096, subject.clusterSize]);
  const offset = Math.floor(random.below(size) / unit) * unit;
  const longest = random.chance(0.9) ? Math.max(8192, 4 * subject.clusterSize) : size;
  const length = Math.min(Math.max(unit, Math.floor(random.magnitude(longest) / unit) * unit), size - offset);
  if (kind === 'write' || kind === 'writev') {
    return { kind, offset, length, flags: random.chance(0.05) ? Flag.FUA : 0, data: randomData(length, random) };
  }
  return { kind, offset, length, flags: kind === 'zero' && random.chance(0.5) ? Flag.MAY_UNMAP : 0 };
}

function randomKind(random: Random): Action['kind'] {
  let draw = random.below(KINDS.reduce((sum, [, weight]) => sum + weight, 0));
  for (const [kind, weight] of KINDS) {
    if (draw < weight) return kind;
    draw -= weight;
  }
  return 'read';
}

/** One whole cluster, or the last partial one. */
function compressedAction(size: number, subject: Subject, random: Random): Action {
  const { clusterSize, canCompress } = subject;
  const offset = random.below(Math.ceil(size / clusterSize)) * clusterSize;
  const length = Math.min(clusterSize, size - offset);
  const data = randomData(length, random);
  return { kind: canCompress ? 'compressed' : 'write', offset, length, flags: 0, data };
}

function randomData(length: number, random: Random): Buffer {
  const kind = random.below(10);
  if (kind === 0) return Buffer.alloc(length);
  if (kind < 4) return Buffer.alloc(length, 1 + random.below(255));
  return random.bytes(length);
}

/** Run an action; a read returns what it read. */
export async function perform(disk: Backend, action: Action, random: Random): Promise<Buffer | undefined> {
  const { kind, offset, length, flags } = action;
  const data = action.data ?? Buffer.alloc(0);
  switch (kind) {
    case 'read': {
      const buffer = Buffer.alloc(length, 0x5a);
      await disk.read(offset, buffer);
      return buffer;
    }
    case 'write':
      await disk.write(offset, data, flags);
      break;
    case 'writev': {
      const cut = random.below(length + 1);
      await disk.writev(offset, [data.subarray(0, cut), data.subarray(cut)], flags);
      break;
    }
    case 'compressed':
      await disk.writeCompressed(offset, data);
      break;
    case 'zero':
      await disk.zero(offset, length, flags);
      break;
    case 'discard':
      await disk.discard(offset, length);
      break;
    case 'flush':
      await disk.flush();
      break;
  }
  return undefined;
}

export function describeAction({ kind, offset, length, flags }: Action): string {
  return `${kind} ${offset}+${length}${flags === 0 ? '' : ` flags ${flags}`}`;
}
