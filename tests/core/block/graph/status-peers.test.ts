/** Status across chains of real images, against what qemu-img says of them. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { specFromFileName } from '../../../../src/core/block/graph/spec.ts';
import { driverList } from '../../../../src/drivers/index.ts';
import { openDisk } from '../../../support/disk.ts';
import { peersFor, qemuImg, qemuImgJson, qemuIo } from '../../../support/peers.ts';
import { Random } from '../../../support/random.ts';
import { tempDir } from '../../../support/temp.ts';

interface Row {
  readonly start: number;
  readonly length: number;
  readonly depth: number;
  readonly present: boolean;
  readonly zero: boolean;
  readonly data: boolean;
  readonly offset?: number;
}

const KIB = 1024;

async function build(folder: string, random: Random): Promise<string> {
  let below: { path: string; format: string } | undefined;
  for (let layer = 0; layer < 4; layer++) {
    const path = join(folder, `layer${layer}`);
    const format = layer === 0 && random.below(2) === 0 ? 'raw' : 'qcow2';
    const size = 64 * KIB * (1 + random.below(40)) + 512 * random.below(128);
    const backing = below ? ['-b', below.path, '-F', below.format] : [];
    const preallocation = ['off', 'off', 'metadata'][random.below(below || format === 'raw' ? 1 : 3)] ?? 'off';
    const options =
      format === 'qcow2' ? ['-o', `cluster_size=${4 << random.below(5)}k,preallocation=${preallocation}`] : [];
    await qemuImg(['create', '-q', '-f', format, ...options, ...backing, path, String(size)]);
    const commands = Array.from({ length: 6 }, () => {
      const offset = 512 * random.below(size / 512);
      const length = Math.min(size - offset, 512 * (1 + random.below(512)));
      return `${['write', 'write -z', 'write -z -u', 'discard'][random.below(4)]} ${offset} ${length}`;
    });
    await qemuIo(path, commands, ['-f', format, '-d', 'unmap']);
    below = { path, format };
  }
  return below?.path ?? '';
}

/** One row per range, as qemu-img joins them. */
async function ourRows(path: string): Promise<Row[]> {
  await using disk = await openDisk(specFromFileName(driverList, path));
  const found: Row[] = [];
  for (let start = 0; start < disk.size; ) {
    const { length, depth, allocated, zero, data, offset } = await disk.chainStatus(start, disk.size - start);
    const row = { start, length, depth, present: allocated, zero, data, ...(offset === undefined ? {} : { offset }) };
    const last = found.at(-1);
    if (last && continues(last, row)) found[found.length - 1] = { ...last, length: last.length + length };
    else found.push(row);
    start += length;
  }
  return found;
}

function continues(last: Row, next: Row): boolean {
  if (last.depth !== next.depth || last.present !== next.present) return false;
  if (last.zero !== next.zero || last.data !== next.data) return false;
  return last.offset === undefined ? next.offset === undefined : last.offset + last.length === next.offset;
}

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('status of a chain', () => {
  test.each([1, 2, 3, 4])('agrees with qemu-img map (seed %i)', async (seed) => {
    const path = await build(tempDir(), new Random(seed));
    expect(await ourRows(path)).toEqual(await qemuImgJson<Row[]>(['map', path]));
  });
});
