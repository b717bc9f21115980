/**
 * A disk beside a plain buffer that says what it must hold.
 *
 * Two ways of running: {@link Model.apart} keeps up to 16 requests in flight that do not touch the same bytes (but
 * may well touch the same cluster), so every byte read is known. {@link Model.together} starts rounds of requests
 * that may overlap: then each byte must be one of those that some request of the round put there.
 */
import type { Backend } from '../../src/core/block/backend/backend.ts';
import { NotSupported } from '../../src/core/errors/block-error.ts';
import { firstDifference, openDisk, readDisk } from '../support/disk.ts';
import type { Random } from '../support/random.ts';
import { type Action, describeAction, perform, randomAction } from './actions.ts';
import type { Subject } from './layouts.ts';

const SECTOR = 512;
const MAX_IN_FLIGHT = 16;

export class Model {
  content: Buffer;
  readonly #subject: Subject;
  readonly #random: Random;
  #disk: Backend;
  /** The last actions, for messages. */
  readonly #history: string[] = [];
  #inFlight: ReadonlyMap<Action, unknown> = new Map();

  private constructor(subject: Subject, random: Random, disk: Backend) {
    this.content = subject.content;
    this.#subject = subject;
    this.#random = random;
    this.#disk = disk;
  }

  static async open(subject: Subject, random: Random): Promise<Model> {
    return new Model(subject, random, await open(subject));
  }

  /** Actions that do not overlap. */
  async apart(count: number): Promise<void> {
    const inFlight = new Map<Action, Promise<void>>();
    this.#inFlight = inFlight;
    for (let done = 0; done < count; done++) {
      if (this.#random.chance(0.02)) {
        await Promise.all(inFlight.values());
        await this.#rest();
      }
      const action = randomAction(this.content.length, this.#subject, this.#random);
      while (inFlight.size >= MAX_IN_FLIGHT || [...inFlight.keys()].some((other) => conflict(action, other))) {
        await Promise.race(inFlight.values());
      }
      inFlight.set(
        action,
        this.#runApart(action).finally(() => inFlight.delete(action)),
      );
    }
    await Promise.all(inFlight.values());
  }

  async #runApart(action: Action): Promise<void> {
    this.#note(action);
    const { kind, offset, length } = action;
    const read = await perform(this.#disk, action, this.#random);
    const mine = this.content.subarray(offset, offset + length);
    if (read) this.#expectSame(read, mine, action);
    else if (action.data) action.data.copy(mine);
    else if (kind === 'zero') mine.fill(0);
    else if (kind === 'discard') this.#takeDiscarded(await readDisk(this.#disk, offset, length), mine, action);
  }

  /** A discarded byte reads as it was, or as zero. */
  #takeDiscarded(read: Buffer, mine: Buffer, action: Action): void {
    const wrong = read.findIndex((byte, at) => byte !== 0 && byte !== mine[at]);
    if (wrong >= 0) this.#fail(action, action.offset + wrong, 'is neither zero nor what it was');
    read.copy(mine);
  }

  /** Rounds of actions that may overlap. */
  async together(rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      const actions = Array.from({ length: this.#random.between(2, MAX_IN_FLIGHT) }, () =>
        randomAction(this.content.length, this.#subject, this.#random),
      );
      const reads = await Promise.all(
        actions.map((action) => {
          this.#note(action);
          return perform(this.#disk, action, this.#random);
        }),
      );
      const before = Buffer.from(this.content);
      const now = await readDisk(this.#disk);
      for (const [index, read] of reads.entries()) {
        const action = actions[index];
        if (read && action) this.#expectCandidates(read, action.offset, { before, actions, reading: true }, action);
      }
      this.#expectCandidates(now, 0, { before, actions, reading: false }, undefined);
      this.content = now;
    }
  }

  #expectCandidates(
    bytes: Buffer,
    start: number,
    round: { readonly before: Buffer; readonly actions: readonly Action[]; readonly reading: boolean },
    reader: Action | undefined,
  ): void {
    const { before, actions, reading } = round;
    const fine = new Uint8Array(bytes.length);
    const written = new Uint8Array(bytes.length);
    for (const action of actions) {
      if (action.data === undefined && action.kind !== 'zero' && action.kind !== 'discard') continue;
      const from = Math.max(start, action.offset);
      const to = Math.min(start + bytes.length, action.offset + action.length);
      for (let at = from; at < to; at++) {
        if (bytes[at - start] === (action.data?.[at - action.offset] ?? 0)) fine[at - start] = 1;
        if (action.kind !== 'discard') written[at - start] = 1;
      }
    }
    for (let at = 0; at < bytes.length; at++) {
      const mayBeOld = reading || written[at] === 0;
      if (fine[at] === 1 || (mayBeOld && bytes[at] === before[start + at])) continue;
      this.#fail(reader, start + at, 'is none of what it may be');
    }
  }

  /** Nothing is in flight: resize, or close and open again, and look at everything. */
  async #rest(): Promise<void> {
    const draw = this.#random.below(4);
    if (draw === 0) return this.reopen();
    if (draw > 2) return this.#expectSame(await readDisk(this.#disk), this.content, undefined);
    const now = this.content.length;
    const sectors = Math.max(1, Math.floor((now * (0.5 + this.#random.below(100) / 100)) / SECTOR));
    const size = Math.min(sectors * SECTOR, 4 << 20);
    this.#history.push(`resize ${now} to ${size}`);
    try {
      await this.#disk.truncate(size);
    } catch (error) {
      // Version 2 cannot hide a longer backing file.
      if (error instanceof NotSupported && size > now) return;
      throw error;
    }
    const content = Buffer.alloc(size);
    this.content.copy(content);
    this.content = content;
    this.#expectSame(await readDisk(this.#disk), content, undefined);
  }

  async reopen(): Promise<void> {
    this.#history.push('reopen');
    await this.#disk.close();
    this.#disk = await open(this.#subject);
    this.#expectSame(await readDisk(this.#disk), this.content, undefined);
  }

  async close(): Promise<void> {
    await this.#disk.close();
  }

  /** What was done last and what has not ended, one action a line. */
  get history(): string {
    const open = [...this.#inFlight.keys()].map(describeAction);
    return `${this.#history.join('\n')}\nin flight:\n${open.join('\n')}`;
  }

  #note(action: Action): void {
    this.#history.push(describeAction(action));
    if (this.#history.length > 40) this.#history.shift();
  }

  #expectSame(read: Buffer, wanted: Buffer, action: Action | undefined): void {
    const wrong = firstDifference(read, wanted);
    if (wrong < 0 && read.length === wanted.length) return;
    const detail = `is ${read[wrong]}, not ${wanted[wrong]} (length ${read.length}, not ${wanted.length})`;
    this.#fail(action, (action?.offset ?? 0) + wrong, detail);
  }

  #fail(action: Action | undefined, offset: number, what: string): never {
    const where = action === undefined ? 'the whole disk' : describeAction(action);
    throw new Error(
      `${where}: the byte at ${offset} ${what}\n${this.#subject.description}\nlast actions:\n${this.history}`,
    );
  }
}

function open(subject: Subject): Promise<Backend> {
  return openDisk(subject.spec, { writable: true, modes: { unmap: subject.unmap } });
}

function conflict(a: Action, b: Action): boolean {
  if (a.kind === 'read' && b.kind === 'read') return false;
  return a.offset < b.offset + b.length && b.offset < a.offset + a.length;
}
