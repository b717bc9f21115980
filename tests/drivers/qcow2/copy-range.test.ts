import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { HostExtent } from '../../../src/core/block/driver.ts';
import { edgeOn, hasQemuImg, openMemory, qemuCheck, qemuImg, scratch } from './support/harness.ts';
import { MemoryFile } from './support/memory-file.ts';

const dir = scratch('copy-range');
const image = path.join(dir, 'a.qcow2');
const MiB = 1 << 20;

/** A file whose "kernel" copies between files in memory; `willing` false stands for one that cannot. */
class CopyingFile extends MemoryFile {
  willing = true;

  async copyRangeTo(offset: number, source: HostExtent, length: number): Promise<boolean> {
    if (!this.willing) return false;
    const bytes = Buffer.alloc(length);
    (source.file as unknown as MemoryFile).peek(source.offset, bytes);
    this.apply(offset, bytes);
    return true;
  }
}

function made(): CopyingFile {
  fs.rmSync(image, { force: true });
  qemuImg('create', '-q', '-f', 'qcow2', image, String(8 * MiB));
  return Object.assign(new CopyingFile(), MemoryFile.load(image));
}

function sourceOf(length: number): { source: HostExtent; bytes: Buffer } {
  const bytes = Buffer.from(Array.from({ length: length / 512 }, (_, n) => (n * 7) % 251)).reduce(
    (all, value, n) => all.fill(value, n * 512, n * 512 + 512),
    Buffer.alloc(length),
  );
  const file = new MemoryFile();
  file.apply(0, bytes);
  return { source: { file: file as unknown as HostExtent['file'], offset: 0 }, bytes };
}

describe.skipIf(!hasQemuImg)('copying into qcow2 within the kernel', () => {
  it('allocates whole clusters, writes into old ones, and leaves a sound image', async () => {
    const file = made();
    const opened = await openMemory({ file });
    const { source, bytes } = sourceOf(4 * MiB);
    await opened.edge.write(MiB, Buffer.alloc(65536, 1));
    expect(await opened.edge.copyRangeTo(0, source, 4 * MiB)).toBe(true);
    expect(await opened.edge.copyRangeTo(512, source, 1024)).toBe(true);
    bytes.copy(bytes, 512, 0, 1024);
    const content = Buffer.alloc(4 * MiB);
    await opened.edge.read(0, content);
    await opened.image.close();
    file.save(image);
    expect(qemuCheck(image)).toMatchObject({ 'check-errors': 0 });
    const expected = Buffer.from(sourceOf(4 * MiB).bytes);
    sourceOf(4 * MiB).bytes.copy(expected, 512, 0, 1024);
    expect(content.equals(expected)).toBe(true);
  });

  it('declines parts of new clusters, and what the file cannot do, leaving nothing behind', async () => {
    const file = made();
    const opened = await openMemory({ file });
    const { source } = sourceOf(MiB);
    expect(await opened.edge.copyRangeTo(512, source, 65536)).toBe(false);
    file.willing = false;
    expect(await opened.edge.copyRangeTo(0, source, MiB)).toBe(false);
    await opened.image.close();
    file.save(image);
    const report = qemuCheck(image);
    expect([report.corruptions ?? 0, report.leaks ?? 0]).toEqual([0, 0]);
  });

  it('gives data clusters out, and declines compressed ones', async () => {
    const file = made();
    const opened = await openMemory({ file });
    const target = new MemoryFile();
    target.size = 8 * MiB;
    const calls: number[][] = [];
    Object.assign(file, {
      copyRangeFrom: (...[offset, , targetOffset, length]: [number, unknown, number, number]) => {
        calls.push([offset, targetOffset, length]);
        return true;
      },
    });
    await opened.edge.write(0, Buffer.alloc(2 * 65536, 1));
    await opened.edge.writeCompressed(4 * 65536, Buffer.alloc(65536, 2));
    const edge = edgeOn(target);
    expect(await opened.edge.copyRangeFrom(4096, edge, 1024, 65536)).toBe(true);
    expect(calls.map(([, at, length]) => [at, length])).toEqual([[1024, 65536]]);
    expect(await opened.edge.copyRangeFrom(4 * 65536, edge, 0, 65536)).toBe(false);
    await opened.image.close();
  });
});
