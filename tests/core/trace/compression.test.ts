import { expect, test, vi } from 'vitest';
import { zstdCompressor, zstdDecompressor } from '../../../src/core/trace/compression.ts';

test('zstd frames have the checksum of their content where Node makes them', () => {
  const zstdCompressSync = vi.fn((data: Uint8Array) => data);
  const constants = { ZSTD_c_compressionLevel: 100, ZSTD_c_checksumFlag: 201 };
  zstdCompressor({ zstdCompressSync, constants })(Buffer.from('x'));
  expect(zstdCompressSync).toHaveBeenCalledWith(Buffer.from('x'), { params: { 100: 1, 201: 1 } });
});

test('what zstd packs it unpacks, with a checksum wherever Node has zstd', () => {
  const content = Buffer.from('hello world, '.repeat(1000));
  const frame = zstdCompressor()(content);
  expect(Buffer.compare(zstdDecompressor(1 << 20)(frame), content)).toBe(0);
  const nodeHasIt = 'zstdCompressSync' in process.getBuiltinModule('node:zlib');
  expect(((frame[4] ?? 0) & 4) !== 0).toBe(nodeHasIt);
});

test('a zstd frame whose checksum is not that of its content is refused', () => {
  const text = 'hello world, how are you';
  const head = Buffer.from('28b52ffd0458c10000', 'hex');
  const frame = Buffer.concat([head, Buffer.from(text), Buffer.from('faf934d2', 'hex')]);
  const unpack = zstdDecompressor(1 << 20);
  expect(Buffer.from(unpack(frame)).toString()).toBe(text);
  frame.write('H', head.length);
  expect(() => unpack(frame)).toThrow();
});
