/** Snapshots against plain buffers: what the disk and each of its snapshots hold, after anything done to them. */
import { expect } from 'vitest';
import { Backend } from '../../../../src/core/block/backend/backend.ts';
import { openNode } from '../../../../src/core/block/graph/open.ts';
import { operations } from '../../../../src/core/block/graph/operations.ts';
import { snapshotApply, snapshotCreate, snapshotRemove } from '../../../../src/core/block/graph/snapshot-operations.ts';
import type { NodeSpec } from '../../../../src/core/block/graph/spec.ts';
import { checkDisk, firstDifference, openDisk, readDisk } from '../../../support/disk.ts';
import type { Random } from '../../../support/random.ts';

interface Kept {
  readonly name: string;
  readonly content: Buffer;
}

export interface Subject {
  readonly spec: NodeSpec;
  readonly clusterSize: number;
  readonly compress: boolean;
  readonly resize: boolean;
  readonly initial: Buffer;
}

export class SnapshotModel {
  content: Buffer;
  readonly kept = new Map<string, Kept>();
  readonly #subject: Subject;
  readonly #random: Random;
  #disk: Backend;

  private constructor(subject: Subject, random: Random, disk: Backend) {
    this.#subject = subject;
    this.#random = random;
    this.#disk = disk;
    this.content = Buffer.from(subject.initial);
  }

  static async open(subject: Subject, random: Random): Promise<SnapshotModel> {
    return new SnapshotModel(subject, random, await openDisk(subject.spec, { writable: true }));
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      const draw = this.#random.below(100);
      if (draw < 60) await this.#change();
      else if (draw < 72) await this.#create();
      else if (draw < 80) await this.#apply();
      else if (draw < 87) await this.#remove();
      else if (draw < 94) await this.#look();
      else if (draw < 97) await this.#reopen();
      else await this.#resize();
    }
    await this.#lookAtAll();
  }

  async close(): Promise<void> {
    await this.#disk.close();
  }

  async #change(): Promise<void> {
    const random = this.#random;
    const { clusterSize, compress } = this.#subject;
    const whole = random.chance(0.4);
    const unit = whole ? clusterSize : 512;
    const units = Math.floor(this.content.length / unit);
    const first = random.below(units);
    const offset = first * unit;
    const length = Math.min(random.between(1, 5), units - first) * unit;
    const draw = random.below(10);
    if (draw < 6) {
      const data = Buffer.alloc(length, random.between(1, 255));
      if (whole && compress && random.chance(0.3)) {
        for (let at = 0; at < length; at += unit) {
          await this.#disk.writeCompressed(offset + at, data.subarray(at, at + unit));
        }
      } else await this.#disk.write(offset, data);
      data.copy(this.content, offset);
    } else {
      if (draw < 8) await this.#disk.zero(offset, length, draw === 6 ? 2 : 0);
      else await this.#disk.discard(offset, length);
      // What a discard leaves is read once, and has to stay.
      (await readDisk(this.#disk, offset, length)).copy(this.content, offset);
      if (draw < 8) expect(this.content.subarray(offset, offset + length).every((byte) => byte === 0)).toBe(true);
    }
  }

  async #create(): Promise<void> {
    if (this.kept.size >= 6) return;
    const name = `s${this.#random.below(1e6)}`;
    const { id } = await snapshotCreate(this.#disk.graph, this.#disk.image, { name });
    this.kept.set(id, { name, content: Buffer.from(this.content) });
  }

  async #apply(): Promise<void> {
    const found = this.#any();
    if (!found) return;
    const [id, { content }] = found;
    await snapshotApply(this.#disk.graph, this.#disk.image, { id });
    this.content = Buffer.from(content);
    expect(this.#disk.size).toBe(content.length);
  }

  async #remove(): Promise<void> {
    const found = this.#any();
    if (!found) return;
    const [id, { name }] = found;
    await snapshotRemove(this.#disk.graph, this.#disk.image, name);
    this.kept.delete(id);
  }

  #any(): [string, Kept] | undefined {
    return this.kept.size === 0 ? undefined : this.#random.pick([...this.kept.entries()]);
  }

  /** Read a snapshot and the disk while the disk is written to. */
  async #look(): Promise<void> {
    const found = this.#any();
    if (!found) return;
    const [id, { content, name }] = found;
    const { graph, image } = this.#disk;
    const node = await openNode(graph, { driver: 'snapshot', 'snapshot-id': id, file: image.name, 'read-only': true });
    const view = Backend.attach(graph, node, { user: 'the view', permissions: operations['read-stable'].image });
    try {
      const reading = readDisk(view);
      for (let count = 0; count < 4; count++) await this.#change();
      expect(firstDifference(await reading, content), `snapshot ${id}`).toBe(-1);
      await expect(snapshotRemove(graph, image, { id, name })).rejects.toMatchObject({ code: 'EBUSY' });
      await expectStatus(view, content);
    } finally {
      await view.close();
    }
  }

  async #lookAtAll(): Promise<void> {
    expect(firstDifference(await readDisk(this.#disk), this.content), 'the disk').toBe(-1);
    for (const [id, { content }] of this.kept) {
      const view = await this.#disk.image.image.snapshots?.view(this.#listed(id));
      if (!view) throw new Error('no view');
      const found = Buffer.alloc(view.size);
      await view.read(0, found);
      await view.close();
      expect(firstDifference(found, content), `snapshot ${id}`).toBe(-1);
    }
    expect(await checkDisk(this.#disk)).toMatchObject({ corruptions: 0, leaks: 0, lines: [] });
  }

  #listed(id: string) {
    const found = this.#disk.image.image.snapshots?.list().find((each) => each.id === id);
    if (!found) throw new Error(`snapshot ${id} is not listed`);
    return found;
  }

  async #reopen(): Promise<void> {
    await this.#disk.close();
    this.#disk = await openDisk(this.#subject.spec, { writable: true });
    await this.#lookAtAll();
  }

  async #resize(): Promise<void> {
    if (!this.#subject.resize) return;
    const size = Math.max(512, this.content.length + this.#random.between(-40, 60) * 512);
    await this.#disk.truncate(size);
    const content = Buffer.alloc(size);
    this.content.copy(content);
    this.content = content;
  }
}

/** What is said to be zero is zero. */
async function expectStatus(view: Backend, content: Buffer): Promise<void> {
  for (let offset = 0; offset < view.size; ) {
    const { length, zero } = await view.chainStatus(offset, view.size - offset);
    if (zero) expect(content.subarray(offset, offset + length).every((byte) => byte === 0)).toBe(true);
    expect(length).toBeGreaterThan(0);
    offset += length;
  }
}
