import { describe, expect, test } from 'vitest';
import { ByteReader } from '../../../src/core/nbd/byte-reader.ts';
import { ReceiveMemory } from '../../../src/core/nbd/receive-memory.ts';
import { Random, seeds } from '../../support/random.ts';

const KIB = 1024;

/** Whatever is given back is spoilt, so that whoever still looks at it notices. */
class SpoilingLender {
  longest = 256 * KIB;
  lent = 0;
  readonly #blocks = new Set<Uint8Array>();

  take(length: number): Uint8Array {
    this.lent += length;
    const block = new Uint8Array(length);
    this.#blocks.add(block);
    return block;
  }

  give(block: Uint8Array): void {
    expect(this.#blocks.delete(block)).toBe(true);
    this.lent -= block.length;
    block.fill(0xdd);
  }
}

function setUp() {
  const lender = new SpoilingLender();
  const source = { pause: () => undefined, resume: () => undefined };
  const reader = new ByteReader(source, 1 << 30, new ReceiveMemory(lender));
  let space = reader.space();
  /** As a socket does it: into the memory offered before, which is asked for anew after each arrival. */
  const arrive = (bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + space.length);
      space.set(part);
      reader.filled(space, part.length);
      space = reader.space();
      at += part.length;
    }
  };
  return { lender, reader, arrive };
}

describe('ReceiveMemory', () => {
  test('small blocks do for messages that are taken as they come', () => {
    const { lender, reader, arrive } = setUp();
    for (let round = 0; round < 1000; round++) {
      arrive(Buffer.alloc(28, round));
      expect(reader.take(28)?.[27]).toBe(round % 256);
    }
    expect(lender.lent).toBeLessThanOrEqual(32 * KIB);
    reader.close();
    expect(lender.lent).toBe(0);
  });

  test('what is held stays, also after the end', () => {
    const { lender, reader, arrive } = setUp();
    arrive(Buffer.alloc(10_000, 1));
    const pieces = reader.takePieces(10_000) ?? [];
    const letGo = reader.hold(pieces);
    arrive(Buffer.alloc(300_000, 2));
    reader.takePieces(300_000);
    arrive(Buffer.alloc(10, 3));
    reader.close();
    expect(lender.lent).toBeGreaterThan(0);
    expect(pieces.every((piece) => piece.every((byte) => byte === 1))).toBe(true);
    letGo?.();
    expect(lender.lent).toBe(0);
  });

  test('what is waited for in memory of the caller is read there, and what follows is not lost', async () => {
    const { reader, arrive } = setUp();
    const target = new Uint8Array(100_000);
    const done = reader.readInto(target, 'data');
    arrive(Buffer.concat([Buffer.alloc(100_000, 7), Buffer.from('next')]));
    await done;
    expect(target.every((byte) => byte === 7)).toBe(true);
    expect(Buffer.from(reader.take(4) ?? []).toString()).toBe('next');
  });

  test.each(seeds(5))('any mixture of taking, holding and letting go (seed %i)', async (seed) => {
    const random = new Random(seed);
    const { lender, reader, arrive } = setUp();
    const held: { readonly pieces: readonly Uint8Array[]; readonly from: number; letGo(): void }[] = [];
    const byteAt = (position: number): number => (position * 7919 + (position >>> 8)) & 0xff;
    let sent = 0;
    let read = 0;
    const check = (pieces: readonly Uint8Array[], from: number): void => {
      const all = Buffer.concat(pieces);
      const wanted = Buffer.from(Array.from(all, (_, index) => byteAt(from + index)));
      expect(all.equals(wanted)).toBe(true);
    };
    for (let step = 0; step < 120; step++) {
      const length = random.magnitude(80_000);
      arrive(Uint8Array.from({ length }, (_, index) => byteAt(sent + index)));
      sent += length;
      while (reader.buffered > 0 && random.chance(0.7)) {
        const wanted = random.between(1, reader.buffered);
        const pieces = reader.takePieces(wanted) ?? [];
        check(pieces, read);
        if (random.chance(0.3)) held.push({ pieces, from: read, letGo: reader.hold(pieces) ?? (() => undefined) });
        read += wanted;
      }
      if (random.chance(0.2)) {
        const target = new Uint8Array(random.magnitude(50_000));
        const done = reader.readInto(target, 'data');
        const missing = Math.max(0, read + target.length - sent);
        arrive(Uint8Array.from({ length: missing }, (_, index) => byteAt(sent + index)));
        sent += missing;
        await done;
        check([target], read);
        read += target.length;
      }
      while (held.length > 8 || (held.length > 0 && random.chance(0.3))) {
        const [one] = held.splice(random.below(held.length), 1);
        if (one) check(one.pieces, one.from);
        one?.letGo();
      }
    }
    reader.close();
    for (const { pieces, from, letGo } of held) {
      check(pieces, from);
      letGo();
    }
    expect(lender.lent).toBe(0);
  });
});
