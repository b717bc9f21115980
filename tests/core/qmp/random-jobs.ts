/** Random commands for a control socket: images, filters, snapshots, bitmaps, exports, jobs of every kind, and what is asked of them. */
import fs from 'node:fs';
import path from 'node:path';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import type { Random } from '../../support/random.ts';
import type { Message, Scene } from './client.ts';

const KiB = 1024;
export const DISK = 256 * KiB;
const PATIENCE_MS = 60_000;

export class RandomUser {
  readonly #scene: Scene;
  readonly #random: Random;
  readonly #folder: string;
  readonly #backends: Backend[] = [];
  readonly #mark: string;
  #count = 0;
  /** Names of commands that were done, and not refused. */
  readonly done = new Set<string>();

  /** `mark`: what tells its names from those of others. */
  constructor(scene: Scene, random: Random, { folder, mark }: { readonly folder: string; readonly mark: string }) {
    this.#scene = scene;
    this.#random = random;
    this.#folder = folder;
    this.#mark = mark;
  }

  /** One command, or one request of a user of a disk. */
  async step(): Promise<void> {
    const all: readonly (readonly [number, () => Promise<unknown>])[] = [
      [8, () => this.#add()],
      [4, () => this.#stack()],
      [4, () => this.#ask('blockdev-del', { 'node-name': this.#node(), force: this.#random.chance(0.1) })],
      [3, () => this.#insert()],
      [3, () => this.#ask('x-blockyard-remove-filter', { 'node-name': this.#node() })],
      [4, () => this.#reopen()],
      [5, () => this.#action()],
      [4, () => this.#transaction()],
      [2, () => this.#ask('blockdev-snapshot-delete-internal-sync', { device: this.#node(), name: this.#short('s') })],
      [2, () => this.#ask('block_resize', { 'node-name': this.#node(), size: DISK })],
      [4, () => this.#export()],
      [8, () => this.#job()],
      [16, () => this.#verb()],
      [10, () => this.#write()],
      [2, () => this.#leave()],
      [3, () => new Promise((resolve) => setTimeout(resolve, 2))],
    ];
    const sum = all.reduce((total, [weight]) => total + weight, 0);
    let at = this.#random.below(sum);
    for (const [weight, action] of all) {
      at -= weight;
      if (at < 0) {
        await action();
        return;
      }
    }
  }

  async leave(): Promise<void> {
    for (const backend of this.#backends.splice(0)) await backend.close().catch(() => undefined);
  }

  async #ask(execute: string, args: object): Promise<Message> {
    const { client } = this.#scene;
    client.messages.length = 0;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const give = () => reject(new Error(`${execute} ${JSON.stringify(args)} is not answered`));
      timer = setTimeout(give, PATIENCE_MS);
    });
    try {
      const answer = await Promise.race([client.ask(execute, args), late]);
      if (!answer.error) this.done.add(execute);
      const { desc = '' } = answer.error ?? {};
      if (/\n|\.$|undefined|TypeError|is not a function|internal error/.test(desc) || (answer.error && desc === '')) {
        throw new Error(`${execute} ${JSON.stringify(args)}: ${desc}`);
      }
      return answer;
    } finally {
      clearTimeout(timer);
    }
  }

  #short(letter: string): string {
    return `${letter}${this.#random.below(4)}`;
  }

  #node(): string {
    const names = [...this.#scene.service.graph.nodes.keys()].filter((name) => !name.startsWith('#'));
    return names.length === 0 || this.#random.chance(0.02) ? 'none' : this.#random.pick(names);
  }

  /** Most jobs are for disks that stay. */
  #top(): string {
    const nodes = [...this.#scene.service.graph.nodes.values()];
    const tops = nodes.filter((node) => node.driver.name === 'qcow2' && node.added);
    return tops.length === 0 || this.#random.chance(0.2) ? this.#node() : this.#random.pick(tops).name;
  }

  /** A disk that nobody uses. */
  #free(): string {
    const nodes = [...this.#scene.service.graph.nodes.values()];
    const free = nodes.filter((node) => node.driver.name === 'qcow2' && node.added && node.parents.size === 0);
    return free.length === 0 || this.#random.chance(0.15) ? this.#top() : this.#random.pick(free).name;
  }

  #jobId(): string {
    const jobs = this.#scene.service.jobs.all();
    return jobs.length === 0 ? 'none' : this.#random.pick(jobs).id;
  }

  #fresh(letter: string): string {
    return `${letter}${this.#mark}${this.#count++}`;
  }

  #file(): string {
    return path.join(this.#folder, this.#fresh('f'));
  }

  async #add(): Promise<void> {
    const { graph } = this.#scene.service;
    if (graph.nodes.size > 60) {
      await this.#ask('blockdev-del', { 'node-name': this.#top() });
      return;
    }
    const name = `n${this.#random.below(16)}`;
    if (graph.nodes.has(name)) return;
    if (this.#random.chance(0.15)) {
      await this.#ask('blockdev-add', { driver: 'null-co', 'node-name': name, size: DISK, 'read-zeroes': true });
      return;
    }
    const filename = this.#file();
    fs.writeFileSync(filename, '');
    const file = { driver: 'file', filename };
    await this.#ask('blockdev-add', { ...file, 'node-name': `${name}-file` });
    const options = { driver: 'qcow2', file: `${name}-file`, size: DISK, 'cluster-size': 4096 };
    const id = this.#fresh('c');
    await this.#ask('blockdev-create', { 'job-id': id, options });
    await this.#ended(id);
    await this.#ask('job-dismiss', { id });
    const backing = this.#random.chance(0.3) ? { backing: this.#top() } : {};
    await this.#ask('blockdev-add', { driver: 'qcow2', 'node-name': name, file: `${name}-file`, ...backing });
  }

  async #ended(id: string): Promise<void> {
    const job = this.#scene.service.jobs.all().find((each) => each.id === id);
    await job?.finished.catch(() => undefined);
  }

  #filter(): object {
    return this.#random.pick([
      { driver: 'throttle', 'iops-total': 1e6 },
      { driver: 'copy-on-read' },
      { driver: 'throttle', 'bps-write': 1e9 },
    ]);
  }

  #stack(): Promise<unknown> {
    return this.#ask('blockdev-add', {
      ...this.#filter(),
      'node-name': `t${this.#random.below(8)}`,
      file: this.#node(),
    });
  }

  #insert(): Promise<unknown> {
    const filter = { ...this.#filter(), 'node-name': `t${this.#random.below(8)}` };
    return this.#ask('x-blockyard-insert-filter', { 'node-name': this.#node(), filter });
  }

  async #reopen(): Promise<void> {
    const { graph } = this.#scene.service;
    const node = graph.nodes.get(this.#node());
    if (!node) return;
    const file = node.children.get('file')?.node.name;
    const backing = node.backing;
    const options = {
      driver: node.driver.name,
      'node-name': node.name,
      ...(file === undefined ? {} : { file }),
      ...(node.driver.name === 'throttle' ? { 'iops-total': 1e6 } : {}),
      ...(node.driver.name === 'file' ? { filename: node.fileName } : {}),
      ...(backing ? { backing: this.#random.chance(0.7) ? backing.node.name : this.#node() } : {}),
      'read-only': this.#random.chance(0.2),
      discard: this.#random.pick(['unmap', 'ignore']),
    };
    await this.#ask('blockdev-reopen', { options: [options] });
  }

  /** What can be part of a transaction, most of it. */
  #anyAction(): readonly [string, object] {
    const node = this.#top();
    const name = this.#short('b');
    return this.#random.pick([
      [
        'block-dirty-bitmap-add',
        { node, name, persistent: this.#random.chance(0.3), disabled: this.#random.chance(0.2) },
      ],
      ['block-dirty-bitmap-add', { node, name, granularity: 4096 }],
      ['block-dirty-bitmap-remove', { node, name }],
      ['block-dirty-bitmap-clear', { node, name }],
      ['block-dirty-bitmap-enable', { node, name }],
      ['block-dirty-bitmap-disable', { node, name }],
      ['block-dirty-bitmap-merge', { node, target: name, bitmaps: [this.#short('b')] }],
      ['blockdev-snapshot-internal-sync', { device: node, name: this.#short('s') }],
      ['blockdev-snapshot', { node, overlay: this.#free() }],
      [
        'blockdev-snapshot-sync',
        { 'node-name': node, 'snapshot-file': this.#file(), 'snapshot-node-name': `o${this.#random.below(12)}` },
      ],
    ] as const);
  }

  #action(): Promise<unknown> {
    return this.#ask(...this.#anyAction());
  }

  #transaction(): Promise<unknown> {
    const actions = Array.from({ length: this.#random.between(1, 3) }, () => {
      const [type, data] = this.#random.chance(0.3)
        ? (['blockdev-backup', this.#backup()] as const)
        : this.#anyAction();
      return { type, data };
    });
    if (this.#random.chance(0.2)) actions.push({ type: 'abort' as never, data: {} });
    const mode = actions.every(({ type }) => type === 'blockdev-backup') ? 'grouped' : 'individual';
    return this.#ask('transaction', { actions, properties: { 'completion-mode': mode } });
  }

  async #export(): Promise<void> {
    const id = this.#short('e');
    if (!this.#random.chance(0.5)) {
      await this.#ask('block-export-del', { id, mode: 'hard' });
      return;
    }
    await this.#ask('block-export-add', {
      type: 'nbd',
      id,
      'node-name': this.#node(),
      name: id,
      writable: this.#random.chance(0.6),
      ...(this.#random.chance(0.2) ? { bitmaps: [this.#short('b')] } : {}),
    });
  }

  #common(): object {
    return {
      'job-id': this.#random.chance(0.9) ? `j${this.#random.below(6)}` : this.#fresh('x'),
      speed: this.#random.pick([0, 0, 64 * KiB, DISK]),
      'auto-finalize': this.#random.chance(0.8),
      'auto-dismiss': this.#random.chance(0.8),
    };
  }

  #backup(): object {
    const bitmap = this.#short('b');
    const how = this.#random.pick([
      { sync: 'full' },
      { sync: 'top' },
      { sync: 'none' },
      { sync: 'bitmap', bitmap, 'bitmap-mode': 'on-success' },
      { sync: 'incremental', bitmap },
      { sync: 'full', bitmap, 'bitmap-mode': 'always' },
    ]);
    return { ...this.#common(), device: this.#top(), target: this.#free(), ...how };
  }

  #job(): Promise<unknown> {
    const { graph } = this.#scene.service;
    const device = this.#top();
    const layers: string[] = [];
    for (let node = graph.nodes.get(device); node; node = (node.passedOn ?? node.backing)?.node) layers.push(node.name);
    const layer = (): object => (layers.length > 0 ? { 'base-node': this.#random.pick(layers) } : {});
    const jobs: readonly (readonly [string, object])[] = [
      [
        'blockdev-mirror',
        {
          ...this.#common(),
          device,
          target: this.#free(),
          sync: this.#random.pick(['full', 'top', 'none']),
          'copy-mode': this.#random.pick(['background', 'write-blocking']),
        },
      ],
      ['blockdev-backup', this.#backup()],
      ['block-commit', { ...this.#common(), device, ...layer() }],
      ['block-commit', { ...this.#common(), device, ...layer(), 'top-node': this.#random.pick([device, ...layers]) }],
      ['block-stream', { ...this.#common(), device, ...(this.#random.chance(0.5) ? layer() : {}) }],
      [
        'x-blockdev-amend',
        {
          'job-id': this.#fresh('x'),
          'node-name': device,
          options: { driver: 'qcow2', 'lazy-refcounts': this.#random.chance(0.5) },
        },
      ],
    ];
    return this.#ask(...this.#random.pick(jobs));
  }

  #verb(): Promise<unknown> {
    const id = this.#jobId();
    const state = this.#scene.service.jobs.all().find((job) => job.id === id)?.state;
    const fitting = {
      paused: 'resume',
      standby: 'resume',
      ready: 'complete',
      pending: 'finalize',
      concluded: 'dismiss',
    };
    const fits = Object.entries(fitting).find(([each]) => each === state);
    if (fits && this.#random.chance(0.6)) return this.#ask(`job-${fits[1]}`, { id });
    const verbs: readonly (readonly [string, object])[] = [
      ['job-pause', { id }],
      ['job-resume', { id }],
      ['job-resume', { id }],
      ['job-cancel', { id }],
      ['block-job-cancel', { device: id, force: this.#random.chance(0.5) }],
      ['job-complete', { id }],
      ['job-complete', { id }],
      ['job-finalize', { id }],
      ['job-dismiss', { id }],
      ['job-dismiss', { id }],
      ['block-job-set-speed', { device: id, speed: this.#random.pick([0, 0, DISK]) }],
      ['block-job-change', { type: 'mirror', id, 'copy-mode': 'write-blocking' }],
      ['query-block-jobs', {}],
      ['query-named-block-nodes', {}],
    ];
    return this.#ask(...this.#random.pick(verbs));
  }

  /** By a user who stays for a while. */
  async #write(): Promise<void> {
    const { graph } = this.#scene.service;
    if (this.#backends.length < 3) {
      const node = graph.nodes.get(this.#top());
      if (!node || node.closing) return;
      try {
        this.#backends.push(Backend.attach(graph, node, { user: 'a user', permissions: { perm: 3, shared: 15 } }));
      } catch {
        return;
      }
    }
    const user = this.#random.pick(this.#backends);
    if (!user.attached || user.size < 8192) return;
    const offset = 512 * this.#random.below(user.size / 512 - 8);
    // Where a job ends badly for its users, requests may fail; nothing else may go wrong with them.
    try {
      await user.write(offset, Buffer.alloc(4096, this.#random.below(256)));
    } catch {}
  }

  async #leave(): Promise<void> {
    const at = this.#random.below(Math.max(1, this.#backends.length));
    for (const backend of this.#backends.splice(at, 1)) await backend.close().catch(() => undefined);
  }
}
