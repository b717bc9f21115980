/** A folder of images of many kinds, made by qemu-img, for comparing what our commands say of them with what it says. */
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { qemuImg, qemuIo } from '../../support/peers.ts';

const MiB = 1024 * 1024;

/** Creation options of each image; all are 10 MiB. */
const KINDS: Readonly<Record<string, string>> = {
  plain: '',
  v2: 'compat=0.10',
  lazy: 'lazy_refcounts=on',
  subclusters: 'extended_l2=on',
  zstd: 'compression_type=zstd',
  narrow: 'refcount_bits=1',
  wide: 'refcount_bits=64',
  smallest: 'cluster_size=512',
  largest: 'cluster_size=2M',
  outside: 'data_file=outside.raw',
  'outside-raw': 'data_file=outside-raw.raw,data_file_raw=on',
  reserved: 'preallocation=metadata',
  taken: 'preallocation=falloc',
  full: 'preallocation=full',
};

/** Those that get no compressed clusters: they may not have them, or have no room left. */
const UNPACKED: ReadonlySet<string> = new Set(['subclusters', 'outside', 'outside-raw', 'reserved', 'taken', 'full']);

/** Overlays: what follows `create -f qcow2`. */
const OVERLAYS: readonly (readonly string[])[] = [
  ['-b', 'plain.qcow2', '-F', 'qcow2', 'top.qcow2'],
  ['-b', './plain.qcow2', '-F', 'qcow2', 'longer.qcow2', '20M'],
  ['-b', 'short.raw', '-F', 'raw', 'on-short.qcow2', '8M'],
  ['-b', 'on-short.qcow2', '-F', 'qcow2', 'three.qcow2', '9M'],
  ['-u', '-b', 'json:{"driver":"qcow2","file.filename":"FOLDER/plain.qcow2"}', '-F', 'qcow2', 'by-json.qcow2', '10M'],
  ['-u', '-b', 'nbd://192.0.2.1/x', '-F', 'raw', 'far.qcow2', '1M'],
];

/** Paths of the images, made in `folder`. */
export async function makeImages(folder: string): Promise<string[]> {
  const make = (...words: readonly string[]) => qemuImg(['create', '-q', '-f', 'qcow2', ...words], { cwd: folder });
  const write = (name: string, ...commands: readonly string[]) =>
    qemuIo(join(folder, `${name}.qcow2`), commands, ['-f', 'qcow2']);
  writeFileSync(join(folder, 'short.raw'), 'not zero');
  truncateSync(join(folder, 'short.raw'), 3 * MiB);
  writeFileSync(join(folder, 'odd.raw'), 'x');
  for (const [name, features] of Object.entries(KINDS)) {
    // The name of a data file is absolute: a relative one means different things to different programs.
    const options = features.replace('data_file=', `data_file=${folder}/`);
    await make(...(options === '' ? [] : ['-o', options]), `${name}.qcow2`, '10M');
    const packed = UNPACKED.has(name) ? [] : ['write -c -P 1 4M 2M'];
    await write(name, 'write -P 1 64k 200k', 'write -z 1M 128k', 'write -P 2 3M 3k', ...packed);
  }
  for (const words of OVERLAYS) await make(...words.map((word) => word.replace('FOLDER', folder)));
  await write('top', 'write -P 9 0 64k');
  await write('longer', 'write -P 9 15M 64k', 'write -z 2M 64k');
  await write('three', 'write -P 9 5M 64k');
  const plain = join(folder, 'plain.qcow2');
  for (const tag of ['one', 'a rather long name of a snapshot']) await qemuImg(['snapshot', '-c', tag, plain]);
  await qemuImg(['bitmap', '--add', plain, 'changed']);
  await qemuImg(['bitmap', '--add', '--disable', '-g', '4k', plain, 'quiet']);
  await qemuImg(['convert', '-O', 'raw', plain, join(folder, 'plain.raw')]);
  const overlays = ['top', 'longer', 'on-short', 'three', 'by-json', 'far'];
  const names = [...Object.keys(KINDS), ...overlays].map((name) => `${name}.qcow2`);
  return [...names, 'short.raw', 'odd.raw', 'plain.raw'].map((name) => join(folder, name));
}
