/** Opening qcow2 images over files in memory, without a block graph. */

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Closer } from '../../../../src/core/async/closer.ts';
import type { Damage } from '../../../../src/core/block/damage.ts';
import type { Image, OpenModes } from '../../../../src/core/block/driver.ts';
import { Edge } from '../../../../src/core/block/graph/edge.ts';
import type { Node } from '../../../../src/core/block/graph/node.ts';
import { NodeIo } from '../../../../src/core/block/request/node-io.ts';
import { validate } from '../../../../src/core/options/index.ts';
import type { Qcow2Image } from '../../../../src/drivers/qcow2/image.ts';
import { qcow2Driver } from '../../../../src/drivers/qcow2/index.ts';
import type { MemoryFile } from './memory-file.ts';

export const READ_WRITE: OpenModes = {
  readOnly: false,
  noIo: false,
  direct: false,
  noFlush: false,
  unmap: true,
  forceShare: false,
  forRepair: false,
};
export const READ_ONLY: OpenModes = { ...READ_WRITE, readOnly: true };

/** An edge on an image, with the request layer in between. */
export function edgeOn(image: Image, modes: OpenModes = READ_WRITE, name = 'file', below: readonly Edge[] = []): Edge {
  const children = new Map(below.map((edge) => [edge.name, edge]));
  const io = new NodeIo(image, { name, modes, detectZeroes: 'off', children, resized: () => undefined });
  const node = { io, entry: io, image, name, fileName: name, driver: { kind: 'protocol' } } as unknown as Node;
  const parent = { kind: 'job', describe: () => 'a test' } as const;
  return new Edge({ name, role: 'metadata+data', parent, node });
}

export interface OpenSetup {
  readonly file: MemoryFile;
  readonly modes?: OpenModes;
  readonly backing?: Edge;
  readonly dataFile?: MemoryFile;
  readonly options?: Record<string, unknown>;
  readonly warnings?: string[];
  readonly damages?: Damage[];
}

export interface Opened {
  readonly image: Qcow2Image;
  /** The image behind the request layer, as a user has it. */
  readonly edge: Edge;
}

export async function openMemory(setup: OpenSetup): Promise<Opened> {
  const modes = setup.modes ?? READ_WRITE;
  const file = edgeOn(setup.file, modes, 'file');
  const dataFile = setup.dataFile && edgeOn(setup.dataFile, modes, 'data-file');
  const image = await qcow2Driver.open({
    options: validate(qcow2Driver.options, setup.options ?? {}, 'qcow2'),
    modes,
    nodeName: 'test',
    fileName: 'test.qcow2',
    closer: new Closer(),
    child: () => file,
    openChild: async ({ name }) => (name === 'backing' ? setup.backing : dataFile),
    probed: false,
    sniff: () => undefined,
    damaged: (damage) => setup.damages?.push(damage),
    warn: (message) => setup.warnings?.push(message),
    note: (line) => setup.warnings?.push(line),
    dirtyBitmap: () => {
      throw new Error('no bitmaps here');
    },
    object: (kind, id) => {
      throw new Error(`there is no ${kind} '${id}'`);
    },
  });
  return { image: image as Qcow2Image, edge: edgeOn(image, modes, 'qcow2', dataFile ? [file, dataFile] : [file]) };
}

/** A directory in memory that is removed at exit. */
export function scratch(name: string): string {
  const dir = fs.mkdtempSync(path.join(fs.existsSync('/dev/shm') ? '/dev/shm' : '/tmp', `blockyard-${name}-`));
  process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export function qemuImg(...args: string[]): string {
  return execFileSync('qemu-img', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

export const hasQemuImg = ((): boolean => {
  try {
    qemuImg('--version');
    return true;
  } catch {
    return false;
  }
})();

export interface CheckReport {
  readonly corruptions?: number;
  readonly leaks?: number;
  readonly 'check-errors'?: number;
}

/** What `qemu-img check` says of a file. */
export function qemuCheck(file: string): CheckReport {
  try {
    return JSON.parse(qemuImg('check', '-f', 'qcow2', '--output=json', file)) as CheckReport;
  } catch (error) {
    const { stdout } = error as { stdout?: string };
    if (stdout?.startsWith('{')) return JSON.parse(stdout) as CheckReport;
    throw error;
  }
}

/** A small generator of random numbers that a seed repeats. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
