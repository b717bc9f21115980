/** Disks in use: chains of real qcow2 files in one graph, a user that writes at random, and what it must read. */
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import type { DriverEntry } from '../../../src/core/block/driver.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import type { Node } from '../../../src/core/block/graph/node.ts';
import { openNode } from '../../../src/core/block/graph/open.ts';
import type { NodeSpec } from '../../../src/core/block/graph/spec.ts';
import { createImage } from '../../../src/core/job/create-image.ts';
import { driverList } from '../../../src/drivers/index.ts';
import { Random } from '../../support/random.ts';
import { tempDir } from '../../support/temp.ts';
import { holder } from '../block/graph/nodes.ts';

export const KiB = 1024;
export const MiB = 1024 * KiB;

export interface ChainSettings {
  /** Bytes of each layer, the deepest first; default three of 4 MiB. */
  readonly sizes?: readonly number[];
  readonly seed?: number;
  /** Options put around the file of the layer of that index. */
  wrap?(file: NodeSpec, layer: number): NodeSpec;
  /** Beside all that there are. */
  readonly drivers?: readonly DriverEntry[];
}

export class LiveDisk {
  readonly graph: BlockGraph;
  readonly folder: string;
  readonly layers: readonly Node[];
  readonly user: Backend;
  /** What the disk must show. */
  readonly model: Buffer;
  readonly random: Random;
  #stop = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(init: Pick<LiveDisk, 'graph' | 'folder' | 'layers' | 'user' | 'model' | 'random'>) {
    this.graph = init.graph;
    this.folder = init.folder;
    this.layers = init.layers;
    this.user = init.user;
    this.model = init.model;
    this.random = init.random;
  }

  /** The layer of that index, the deepest being 0. */
  layer(index: number): Node {
    const node = this.layers.at(index);
    if (!node) throw new Error(`no layer ${index}`);
    return node;
  }

  file(name: string): string {
    return join(this.folder, name);
  }

  /** One request of the user. */
  async step(): Promise<void> {
    const { random, model, user } = this;
    const length = 512 * random.between(1, 64);
    const offset = 512 * random.between(0, (model.length - length) / 512);
    const kind = random.between(0, 9);
    if (kind === 0) {
      await user.zero(offset, length);
      model.fill(0, offset, offset + length);
    } else if (kind < 6) {
      const buf = Buffer.alloc(length, random.between(1, 255));
      await user.write(offset, buf);
      model.set(buf, offset);
    } else {
      const buf = Buffer.alloc(length);
      await user.read(offset, buf);
      if (Buffer.compare(buf, model.subarray(offset, offset + length)) !== 0)
        throw new Error(`wrong data at ${offset}`);
    }
  }

  /** Have the user send requests until {@link quiet}. */
  busy(): void {
    this.#stop = false;
    this.#writing = (async () => {
      while (!this.#stop) {
        await this.step();
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    this.#writing.catch(() => undefined);
  }

  async quiet(): Promise<void> {
    this.#stop = true;
    await this.#writing;
  }

  async content(node?: Node): Promise<Buffer> {
    if (!node) return read(this.user);
    const backend = Backend.attach(this.graph, node, { user: 'a look', permissions: { perm: 0, shared: 15 } });
    const data = await read(backend);
    await backend.close();
    return data;
  }

  /** A new file of a format, opened under a name and held. */
  async target(name: string, size: number, spec: NodeSpec = {}): Promise<Node> {
    const file = this.file(`${name}.img`);
    const driver = String(spec.driver ?? 'qcow2');
    await createImage(this.graph, { driver, fileName: file, options: { size } });
    const node = await openNode(this.graph, {
      driver,
      'node-name': name,
      discard: 'unmap',
      file: { driver: 'file', filename: file },
      ...spec,
    });
    this.graph.hold(node, holder);
    return node;
  }
}

async function read(backend: Backend): Promise<Buffer> {
  const data = Buffer.alloc(backend.size);
  await backend.read(0, data);
  return data;
}

/** A chain of layers named `l0` (the deepest), `l1`, …, each with random content of its own, all writable. */
export async function liveDisk(settings: ChainSettings = {}): Promise<LiveDisk> {
  const { sizes = [4 * MiB, 4 * MiB, 4 * MiB], seed = 1, wrap = (file) => file, drivers = [] } = settings;
  const folder = tempDir();
  const random = new Random(seed);
  const known = { ...driverList, entries: [...driverList.entries, ...drivers] };
  const graph = new BlockGraph({ drivers: known, references: 'all', warn: () => undefined });
  onTestFinished(() => graph.close().catch(() => undefined));
  let spec: NodeSpec | undefined;
  let model: Buffer = Buffer.alloc(0);
  for (const [index, size] of sizes.entries()) {
    const fileName = join(folder, `l${index}.qcow2`);
    const below = index > 0 ? { backing_file: join(folder, `l${index - 1}.qcow2`), backing_fmt: 'qcow2' } : {};
    await createImage(graph, { driver: 'qcow2', fileName, options: { size, ...below } });
    spec = {
      driver: 'qcow2',
      'node-name': `l${index}`,
      'read-only': false,
      file: wrap({ driver: 'file', filename: fileName }, index),
      ...(spec ? { backing: spec } : {}),
    };
    model = Buffer.concat([model.subarray(0, size), Buffer.alloc(Math.max(0, size - model.length))]);
    await fill(graph, spec, model, random);
  }
  if (!spec) throw new Error('no layers');
  const top = await openNode(graph, spec);
  const user = Backend.attach(graph, top, { user: 'the user', permissions: { perm: 3, shared: 15 } });
  const layers = sizes.map((_, index) => graph.find(`l${index}`));
  return new LiveDisk({ graph, folder, layers, user, model, random });
}

async function fill(graph: BlockGraph, spec: NodeSpec, model: Buffer, random: Random): Promise<void> {
  const backend = await Backend.open(graph, spec, { user: 'filling', permissions: { perm: 3, shared: 15 } });
  for (let i = 0; i < 12; i++) {
    const length = 4096 * random.between(1, Math.min(60, model.length / 4096));
    const offset = 4096 * random.between(0, (model.length - length) / 4096);
    const data = Buffer.alloc(length, random.between(1, 255));
    if (i % 5 === 4) {
      await backend.zero(offset, length);
      data.fill(0);
    } else await backend.write(offset, data);
    model.set(data, offset);
  }
  await backend.close();
}
