/**
 * Every order in which requests on a qcow2 disk can go on. Each request that the format makes of its host file, and
 * of its backing file, bears a label and stops twice: before it is carried out, and when it has been, with the format
 * not yet told. At each stop of the whole one of them is let go, or a guest request is issued; all such choices are
 * tried, each from the start, depth first.
 */
import type { Backend } from '../../src/core/block/backend/backend.ts';
import type { LabelCapability } from '../../src/core/block/fault-control.ts';
import type { NodeSpec } from '../../src/core/block/graph/spec.ts';
import { openDisk } from '../support/disk.ts';
import { Clock, MemoryFile, memoryFileDriver } from '../support/memory-file.ts';
import type { Random } from '../support/random.ts';

/** More host requests than any run makes. */
const NAMES = 60;

export interface Base {
  readonly image: Buffer;
  readonly backing?: Buffer;
}

/** One guest request. */
export type Request = (disk: Backend) => void | Promise<void>;

/** What became of one order. */
export interface Run {
  /** The choices, in words. */
  readonly story: readonly string[];
  /** Content as the disk shows it when all requests have ended. */
  readonly content: Buffer;
  /** Bytes of the image file after closing. */
  readonly closed: Buffer;
  /** For each request: when it was issued and when it ended, in steps of the run, and the file as it was then. */
  readonly requests: readonly Progress[];
}

export interface Progress {
  readonly issued: number;
  readonly ended: number;
  /** The file when the request ended: all of it, and only what a flush had made stable. */
  readonly after: { readonly bytes: Buffer; readonly stable: Buffer };
}

/** Start with the files of `base`, do `before`, then try every order of `requests`. */
export async function* everyOrder(
  base: Base,
  requests: readonly Request[],
  before: Request = () => undefined,
): AsyncGenerator<Run> {
  let prefix: number[] | undefined = [];
  while (prefix) {
    const choices: Choice[] = [];
    yield await runOnce({ base, requests, before, prefix, choices });
    prefix = nextPrefix(choices);
  }
}

interface Choice {
  readonly taken: number;
  readonly of: number;
}

function nextPrefix(choices: readonly Choice[]): number[] | undefined {
  const last = choices.findLastIndex(({ taken, of }) => taken + 1 < of);
  if (last < 0) return undefined;
  return choices.slice(0, last + 1).map(({ taken }, index) => (index === last ? taken + 1 : taken));
}

interface Plan {
  readonly base: Base;
  readonly requests: readonly Request[];
  readonly before: Request;
  readonly prefix: readonly number[];
  readonly choices: Choice[];
}

async function runOnce({ base, requests, before, prefix, choices }: Plan): Promise<Run> {
  const file = new MemoryFile(base.image, { clock: new Clock(), logging: true });
  const disk = await openOn(file, base, true);
  await before(disk);
  const holder = new Holder(disk);
  const story: string[] = [];
  const progress: ({ issued: number; ended: number; after: Progress['after'] } | undefined)[] = [];
  const running: Promise<void>[] = [];
  let step = 0;
  const issue = (index: number): void => {
    const mine = { issued: ++step, ended: Number.POSITIVE_INFINITY, after: NOTHING };
    progress[index] = mine;
    const ended = (): void => {
      mine.ended = ++step;
      mine.after = { bytes: Buffer.from(file.bytes), stable: stableBytes(file) };
    };
    const result = requests[index]?.(disk);
    if (result instanceof Promise) running.push(result.then(ended));
    else ended();
  };
  for (;;) {
    const unissued = [...requests.keys()].filter((index) => progress[index] === undefined);
    const actions = [
      ...unissued.map((index) => ({ what: `issue ${index}`, go: () => issue(index) })),
      ...holder.held().map((held) => ({ what: held.what, go: () => holder.go(held) })),
    ];
    if (actions.length === 0) break;
    const taken = prefix[choices.length] ?? 0;
    choices.push({ taken, of: actions.length });
    const action = actions[taken];
    if (!action) throw new Error(`the run is not repeatable: ${story.join(', ')}`);
    story.push(action.what);
    action.go();
    await settled();
  }
  holder.end();
  await Promise.all(running);
  const content = Buffer.alloc(disk.size);
  await disk.read(0, content);
  await disk.close();
  return { story, content, closed: Buffer.from(file.bytes), requests: progress.map((each) => each ?? NEVER) };
}

const NOTHING: Progress['after'] = { bytes: Buffer.alloc(0), stable: Buffer.alloc(0) };
const NEVER: Progress = { issued: 0, ended: Number.POSITIVE_INFINITY, after: NOTHING };

/** The files are memory and go on at once, so one turn of the event loop ends all that can end. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** What a machine that stops now is sure to find: nothing that no flush has covered. */
function stableBytes(file: MemoryFile): Buffer {
  const unlucky = { pick: <T>(list: readonly T[]) => list[0], chance: () => false } as unknown as Random;
  return Buffer.from(file.afterCrash(file.clock.now, unlucky).bytes);
}

/** An image in memory, under blkdebug; so is its backing file. */
export function openOn(file: MemoryFile, base: Base, writable: boolean): Promise<Backend> {
  const files = new Map([['image', file]]);
  if (base.backing) files.set('backing', new MemoryFile(base.backing));
  const below = (id: string): NodeSpec => ({ driver: 'blkdebug', image: { driver: 'memory-file', id } });
  const backing = base.backing ? { backing: { driver: 'raw', file: below('backing') } } : {};
  return openDisk(
    { driver: 'qcow2', file: below('image'), ...backing },
    { writable, modes: { unmap: true }, extraDrivers: [memoryFileDriver(files)] },
  );
}

interface Held {
  readonly labels: LabelCapability;
  readonly name: string;
  readonly what: string;
}

/** Gives every request below a name, in the order of arrival, and holds it twice. */
class Holder {
  readonly #all: { readonly where: string; readonly labels: LabelCapability }[] = [];
  readonly #carriedOut = new Set<string>();

  constructor(disk: Backend) {
    for (const node of disk.graph.nodes.values()) {
      const { labels } = node.image;
      if (!labels) continue;
      this.#all.push({ where: `file ${this.#all.length}`, labels });
      for (let number = 0; number < NAMES; number++) {
        labels.hold(`r${number}`, 'arrival');
        labels.arm(`r${number}`);
      }
    }
    if (this.#all.length === 0) throw new Error('there is no blkdebug');
  }

  held(): Held[] {
    return this.#all.flatMap(({ where, labels }) => {
      const list = labels.list();
      if (list.every(({ state }) => state !== 'armed')) throw new Error(`more than ${NAMES} requests`);
      return list
        .filter(({ state }) => state === 'held')
        .map(({ name }) => ({ labels, name, what: this.#describe(where, name) }));
    });
  }

  #describe(where: string, name: string): string {
    return `${this.#carriedOut.has(`${where} ${name}`) ? 'tell of' : 'carry out'} ${where} ${name}`;
  }

  /** From its arrival to its completion, and from there on. */
  go({ labels, name, what }: Held): void {
    const key = what.slice('carry out '.length);
    if (what.startsWith('carry out ')) {
      this.#carriedOut.add(key);
      labels.hold(name, 'completion');
    }
    labels.release(name);
  }

  /** From here on nothing is held. */
  end(): void {
    for (const { labels } of this.#all) labels.letGo();
  }
}
