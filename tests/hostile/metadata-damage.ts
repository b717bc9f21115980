/** Random damage to the metadata of an image: fields changed, entries copied, clusters moved, the end cut off. */
import type { Random } from '../support/random.ts';

const ENTRY = 8;

/** Bytes [from, to) of a file that are metadata. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface Damaged {
  /** What is left of the file. */
  readonly bytes: Buffer;
  /** What was done to it, in a word each. */
  readonly kinds: readonly string[];
}

/** One to four things done to `bytes`, in place. */
export function damage(bytes: Buffer, spans: readonly Span[], clusterSize: number, random: Random): Damaged {
  let left = bytes;
  const kinds: string[] = [];
  for (let count = random.pick([1, 1, 2, 4]); count > 0; count--) {
    const draw = random.below(100);
    if (draw < 3) {
      left = left.subarray(0, Math.max(512, random.below(left.length / 512) * 512));
      kinds.push('cutOff');
    } else if (draw < 6) {
      copyCluster(left, spans, clusterSize, random);
      kinds.push('copiedCluster');
    } else kinds.push(damageField(left, spans, { clusterSize, random }));
  }
  return { bytes: left, kinds };
}

function place(spans: readonly Span[], random: Random): number {
  const { from, to } = random.pick(spans);
  return from + Math.floor(random.below(to - from) / ENTRY) * ENTRY;
}

function copyCluster(bytes: Buffer, spans: readonly Span[], clusterSize: number, random: Random): void {
  const from = Math.floor(place(spans, random) / clusterSize) * clusterSize;
  const to = (1 + random.below(Math.max(1, bytes.length / clusterSize - 1))) * clusterSize;
  if (Math.max(from, to) + clusterSize <= bytes.length) bytes.copy(bytes, to, from, from + clusterSize);
}

interface FieldContext {
  readonly clusterSize: number;
  readonly random: Random;
}

function damageField(bytes: Buffer, spans: readonly Span[], { clusterSize, random }: FieldContext): string {
  const at = place(spans, random);
  if (at + ENTRY > bytes.length) return 'none';
  const value = bytes.readBigUInt64BE(at);
  const cluster = BigInt(random.below(bytes.length / clusterSize + 4)) * BigInt(clusterSize);
  const other = place(spans, random);
  const changed: Readonly<Record<string, () => bigint>> = {
    bit: () => value ^ (1n << BigInt(random.below(64))),
    topBits: () => value ^ (1n << BigInt(56 + random.below(8))),
    lowBits: () => value ^ (1n << BigInt(random.below(10))),
    zero: () => 0n,
    ones: () => (1n << 64n) - 1n,
    any: () => random.bytes(8).readBigUInt64BE(0),
    cluster: () => cluster,
    onlyReference: () => cluster | (1n << 63n),
    elsewhere: () => (value & (0xffn << 56n)) | cluster,
    unaligned: () => value + 512n,
    zeroFlag: () => (value + 512n) | 1n,
    larger: () => value + BigInt(random.magnitude(1 << 20)),
    copied: () => (other + ENTRY <= bytes.length ? bytes.readBigUInt64BE(other) : 0n),
  };
  const kind = random.pick(Object.keys(changed));
  const result = changed[kind]?.() ?? 0n;
  bytes.writeBigUInt64BE(BigInt.asUintN(64, result), at);
  return kind;
}
