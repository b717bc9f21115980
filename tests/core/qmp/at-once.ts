/** Clients that change one disk at once, none waiting for another: what each of them asks for, at random. */
import { join } from 'node:path';
import { linkDown } from '../../../src/core/block/graph/freeze.ts';
import type { Node } from '../../../src/core/block/graph/node.ts';
import type { BlockService } from '../../../src/core/qmp/index.ts';
import type { Random } from '../../support/random.ts';
import type { LiveDisk } from '../job/live.ts';
import { Client } from './client.ts';

const PATIENCE_MS = 60_000;

type Command = readonly [name: string, args: object];

export class BusyClient {
  readonly #service: BlockService;
  readonly #disk: LiveDisk;
  readonly #random: Random;
  readonly #prefix: string;
  readonly #client: Client;
  #count = 0;
  /** Names of commands that were done, and not refused. */
  readonly done: string[] = [];

  constructor(service: BlockService, disk: LiveDisk, { random, prefix }: { random: Random; prefix: string }) {
    this.#service = service;
    this.#disk = disk;
    this.#random = random;
    this.#prefix = prefix;
    this.#client = new Client(service);
  }

  async begin(): Promise<void> {
    await this.#client.run('qmp_capabilities');
  }

  /** One command, some moments from now. */
  async step(): Promise<void> {
    for (let turns = this.#random.below(4); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
    for (let ticks = this.#random.below(30); ticks > 0; ticks--) await undefined;
    const [name, args] = this.#random.chance(0.4) ? this.#verb() : this.#change();
    this.#client.messages.length = 0;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const give = () => reject(new Error(`${name} ${JSON.stringify(args)} is not answered`));
      timer = setTimeout(give, PATIENCE_MS);
    });
    const { error } = await Promise.race([this.#client.ask(name, args), late]);
    clearTimeout(timer);
    if (!error) this.done.push(name);
    else if (/undefined|TypeError|is not a function|internal error|cycle/.test(error.desc)) {
      throw new Error(`${name} ${JSON.stringify(args)}: ${error.desc}`);
    }
  }

  end(): void {
    this.#client.session.end();
  }

  /** The nodes that the guest's disk is made of, the topmost first. */
  get #chain(): Node[] {
    const nodes: Node[] = [];
    for (let node: Node | undefined = this.#disk.user.image; node; node = linkDown(node)?.node) nodes.push(node);
    return nodes;
  }

  #layer(): string {
    return this.#random.pick(this.#chain).name;
  }

  #fresh(): string {
    return `${this.#prefix}${this.#count++}`;
  }

  #overlay(): Command {
    const node = this.#random.chance(0.6) ? this.#disk.user.image.name : this.#layer();
    const name = this.#fresh();
    const file = join(this.#disk.folder, name);
    return ['blockdev-snapshot-sync', { 'node-name': node, 'snapshot-file': file, 'snapshot-node-name': name }];
  }

  #action(): Command {
    const node = this.#layer();
    const bitmap = { node, name: `b${this.#random.below(3)}` };
    return this.#random.pick<Command>([
      this.#overlay(),
      ['block-dirty-bitmap-add', bitmap],
      ['block-dirty-bitmap-remove', bitmap],
      ['blockdev-snapshot-internal-sync', { device: node, name: `s${this.#random.below(3)}` }],
    ]);
  }

  #transaction(): Command {
    const actions = Array.from({ length: this.#random.between(1, 3) }, () => this.#action());
    if (this.#random.chance(0.4)) actions.push(['abort', {}]);
    return ['transaction', { actions: actions.map(([type, data]) => ({ type, data })) }];
  }

  #common(): object {
    const speed = this.#random.pick([0, 0, 64 * 1024]);
    return { 'job-id': `j${this.#random.below(4)}`, speed, 'auto-finalize': this.#random.chance(0.8) };
  }

  #job(): Command {
    const common = this.#common();
    const chain = this.#chain;
    const device = this.#random.chance(0.5) ? this.#disk.user.image.name : this.#layer();
    const base = { 'base-node': this.#random.pick(chain).name };
    const target = this.#fresh();
    const file = { target: join(this.#disk.folder, target), format: 'qcow2' };
    return this.#random.pick<Command>([
      ['block-commit', { ...common, device, ...(this.#random.chance(0.7) ? base : {}) }],
      ['block-commit', { ...common, device, ...base, 'top-node': this.#random.pick(chain).name }],
      ['block-stream', { ...common, device, ...(this.#random.chance(0.6) ? base : {}) }],
      ['drive-mirror', { ...common, device, ...file, 'node-name': target, sync: 'full' }],
      ['drive-mirror', { ...common, device, ...file, 'node-name': target, sync: 'top', 'copy-mode': 'write-blocking' }],
      ['drive-backup', { ...common, device, ...file, sync: 'full' }],
    ]);
  }

  #reopen(): Command {
    const node = this.#random.pick(this.#chain);
    const { driver, own, backing, children } = node;
    const file = children.get('file')?.node.name;
    const options = {
      driver: driver.name,
      'node-name': node.name,
      ...(file === undefined ? {} : { file }),
      ...(backing ? { backing: backing.node.name } : {}),
      ...(driver.name === 'throttle' ? { 'iops-total': 1e6 } : {}),
      'read-only': own['read-only'] ?? false,
      discard: this.#random.pick(['unmap', 'ignore']),
    };
    return ['blockdev-reopen', { options: [options] }];
  }

  #change(): Command {
    const { nodes } = this.#service.graph;
    const filter = { driver: this.#random.pick(['copy-on-read', 'throttle']), 'node-name': this.#fresh() };
    const limit = filter.driver === 'throttle' ? { 'iops-total': 1e6 } : {};
    const any = this.#random.pick([...nodes.keys()]);
    const all: readonly (readonly [number, () => Command])[] = [
      [4, () => this.#overlay()],
      [2, () => this.#action()],
      [2, () => this.#transaction()],
      [8, () => this.#job()],
      [5, () => ['x-blockyard-insert-filter', { 'node-name': this.#layer(), filter: { ...filter, ...limit } }]],
      [5, () => ['x-blockyard-remove-filter', { 'node-name': this.#layer() }]],
      [3, () => this.#reopen()],
      [2, () => ['blockdev-add', { driver: 'qcow2', 'node-name': this.#fresh(), ...this.#image(any) }]],
      [3, () => ['blockdev-del', { 'node-name': any }]],
    ];
    let at = this.#random.below(all.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, command] of all) {
      at -= weight;
      if (at < 0) return command();
    }
    throw new Error('nothing to pick from');
  }

  /** Another image on top of a layer, the file of a new one that nobody uses otherwise. */
  #image(backing: string): object {
    return { file: { driver: 'file', filename: this.#disk.file('spare') }, 'read-only': true, backing };
  }

  #verb(): Command {
    const jobs = this.#service.jobs.all();
    if (jobs.length === 0) return this.#change();
    const { id, state } = this.#random.pick(jobs);
    const fitting = { ready: 'complete', pending: 'finalize', paused: 'resume', standby: 'resume' };
    const fits = Object.entries(fitting).find(([each]) => each === state);
    if (fits && this.#random.chance(0.7)) return [`job-${fits[1]}`, { id }];
    return this.#random.pick<Command>([
      ['block-job-set-speed', { device: id, speed: 0 }],
      ['job-complete', { id }],
      ['job-cancel', { id }],
      ['block-job-cancel', { device: id, force: false }],
      ['job-pause', { id }],
      ['job-resume', { id }],
    ]);
  }
}
