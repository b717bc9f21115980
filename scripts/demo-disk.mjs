// A real disk image for the demo: a partition table and a filesystem with real files, made without privileges.
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  cpSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { root } from './project.mjs';

const MIB = 1024 * 1024;
const SECTOR = 512;
const LINUX = 0x83;

/**
 * Make a disk of `size` bytes at `path`, with one partition from 1 MiB to the end. It holds an ext4 filesystem
 * with some of this project's own files where mke2fs is installed, else those files one after the other.
 * Returns a sentence fragment that says which. `scratch` is an existing empty folder for intermediate files.
 */
export function makeDisk(path, size, scratch) {
  const files = join(scratch, 'files');
  const copied = gatherFiles(files, size / 4);
  const fd = openSync(path, 'w+');
  try {
    ftruncateSync(fd, size);
    writeSync(fd, partitionTable(size), 0, SECTOR, 0);
    const mke2fs = findProgram('mke2fs');
    if (mke2fs !== undefined && makeFilesystem(mke2fs, files, path, size)) {
      return `a partition table and an ext4 filesystem with ${copied} files in it`;
    }
    writeFiles(fd, files, MIB, size);
    return `a partition table and ${copied} files behind it (no mke2fs here, so without a filesystem)`;
  } finally {
    closeSync(fd);
  }
}

/** Copy files of this project into `target`, up to about `limit` bytes; returns how many. */
function gatherFiles(target, limit) {
  mkdirSync(target);
  let bytes = 0;
  let count = 0;
  const visit = (from, to) => {
    for (const entry of readdirSync(from, { withFileTypes: true })) {
      if (bytes >= limit) return;
      const source = join(from, entry.name);
      if (entry.isDirectory()) {
        mkdirSync(join(to, entry.name), { recursive: true });
        visit(source, join(to, entry.name));
      } else if (entry.isFile() && statSync(source).size < limit / 2) {
        cpSync(source, join(to, entry.name));
        bytes += statSync(source).size;
        count++;
      }
    }
  };
  for (const name of ['src', 'node_modules']) {
    if (!existsSync(join(root, name))) continue;
    mkdirSync(join(target, name), { recursive: true });
    visit(join(root, name), join(target, name));
  }
  return count;
}

/** A master boot record with one Linux partition from 1 MiB to the end of the disk. */
function partitionTable(size) {
  const record = Buffer.alloc(SECTOR);
  const first = MIB / SECTOR;
  record.writeUInt32LE(0xb10c_4a2d, 440); // disk signature: any number
  record.set([0x00, 0xfe, 0xff, 0xff, LINUX, 0xfe, 0xff, 0xff], 446); // CHS fields: "too large, use the LBA"
  record.writeUInt32LE(first, 446 + 8);
  record.writeUInt32LE(size / SECTOR - first, 446 + 12);
  record.writeUInt16LE(0xaa55, 510);
  return record;
}

function makeFilesystem(mke2fs, files, path, size) {
  const blocks = String((size - MIB) / 4096);
  const options = ['-q', '-F', '-t', 'ext4', '-b', '4096', '-E', `offset=${MIB}`, '-L', 'blockyard', '-d', files];
  return spawnSync(mke2fs, [...options, path, blocks], { stdio: 'ignore' }).status === 0;
}

function writeFiles(fd, folder, start, end) {
  let offset = start;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const data = readFileSync(join(entry.parentPath ?? entry.path, entry.name));
    if (offset + data.length > end) return;
    writeSync(fd, data, 0, data.length, offset);
    offset += Math.ceil(data.length / 4096) * 4096;
  }
}

/** Full path of a program; administrators' folders are searched too, which a user's PATH often lacks. */
function findProgram(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}
