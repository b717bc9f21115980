/**
 * Random changes of a graph, and a model that knows without looking what each comes to: which nodes there are, which
 * child hangs on which, and who uses what. A change that the model cannot foresee (permissions) may be refused, but then
 * all must be as it was.
 */
import fs from 'node:fs';
import path from 'node:path';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import { Perm } from '../../../src/core/block/permissions-bits.ts';
import type { Random } from '../../support/random.ts';
import type { Scene } from './client.ts';

const SIZE = 64 * 1024;

/** Which drivers are filters here, and the link that they filter. */
const FILTERS = { throttle: 'file', 'copy-on-read': 'file', compress: 'file', preallocate: 'file', blkdebug: 'image' };
type Filter = keyof typeof FILTERS;

interface ModelNode {
  readonly driver: string;
  /** Names of nodes by the name of the link. */
  readonly children: Map<string, string>;
  /** Number of the next child of a quorum. */
  next: number;
}

/** What the model foresees of a command. */
type Expected = 'done' | 'refused' | 'either';

export class RandomGraph {
  readonly #scene: Scene;
  readonly #random: Random;
  readonly #folder: string;
  /** A qcow2 image for others to be copies of. */
  readonly #template: string;
  readonly nodes = new Map<string, ModelNode>();
  readonly users: { readonly backend: Backend; node: string }[] = [];
  /** Kinds of commands that were done. */
  readonly done = new Set<string>();

  constructor(scene: Scene, random: Random, { folder, template }: { folder: string; template: string }) {
    this.#scene = scene;
    this.#random = random;
    this.#folder = folder;
    this.#template = template;
  }

  async step(): Promise<void> {
    const all = [
      () => this.#addFile(),
      () => this.#addFile(),
      () => this.#addFilter(),
      () => this.#addFormat(),
      () => this.#addFormat(),
      () => this.#addQuorum(),
      () => this.#delete(),
      () => this.#delete(),
      () => this.#reopen(),
      () => this.#reopen(),
      () => this.#insert(),
      () => this.#insert(),
      () => this.#remove(),
      () => this.#remove(),
      () => this.#changeQuorum(),
      () => this.#snapshot(),
      () => this.#attach(),
      () => this.#leave(),
    ];
    await this.#random.pick(all)();
  }

  /** What is there, as the model has it. */
  get expected(): string[] {
    const nodes = [...this.nodes].map(([name, { driver, children }]) => line(name, driver, [...children]));
    return [...nodes, ...this.users.map(({ node }) => `user of ${node}`)].sort();
  }

  /** The same of the graph itself. */
  get found(): string[] {
    const nodes = [...this.#scene.service.graph.nodes.values()].map((node) =>
      line(
        node.name,
        node.driver.name,
        [...node.children].map(([link, edge]) => [link, edge.node.name]),
      ),
    );
    return [...nodes, ...this.users.map(({ backend }) => `user of ${backend.image.name}`)].sort();
  }

  async leave(): Promise<void> {
    for (const { backend } of this.users.splice(0)) await backend.close();
  }

  /** Ask, hold the answer against what was foreseen, and have the model follow what is done. */
  async #ask(execute: string, args: object, expected: Expected, follow: () => void): Promise<void> {
    const { client, service } = this.#scene;
    client.messages.length = 0;
    const before = everything(service.graph);
    const answer = await client.ask(execute, args);
    const came = answer.error ? 'refused' : 'done';
    const what = `${execute} ${JSON.stringify(args)}: ${answer.error?.desc ?? 'done'}`;
    if (expected !== 'either' && expected !== came) throw new Error(`not ${expected}: ${what}`);
    if (answer.error) {
      const changed = changes(before, everything(service.graph));
      if (changed !== '') throw new Error(`refused, but not as before: ${what}\n${changed}`);
      return;
    }
    this.done.add(`${execute} ${(args as { driver?: string }).driver ?? ''}`.trim());
    follow();
  }

  #name(): string {
    return `n${this.#random.below(24)}`;
  }

  #node(): string {
    return this.nodes.size === 0 ? 'none' : this.#random.pick([...this.nodes.keys()]);
  }

  #filter(): { readonly driver: Filter } & Record<string, unknown> {
    const driver = this.#random.pick(Object.keys(FILTERS) as Filter[]);
    return { driver, ...(driver === 'throttle' ? { 'iops-total': 1e9 } : {}) };
  }

  /** Adding is refused where the name is taken, or what it refers to is not there. */
  #expectAdded(name: string, below: readonly string[], otherwise: Expected): Expected {
    return this.nodes.has(name) || below.some((each) => !this.nodes.has(each)) ? 'refused' : otherwise;
  }

  #add(options: Record<string, unknown>, children: Map<string, string>, otherwise: Expected): Promise<void> {
    const name = this.#name();
    const driver = String(options.driver);
    const expected = this.#expectAdded(name, [...children.values()], otherwise);
    return this.#ask('blockdev-add', { ...options, 'node-name': name }, expected, () => {
      this.nodes.set(name, { driver, children, next: children.size });
    });
  }

  #addFile(): Promise<void> {
    if (this.#random.chance(0.3)) {
      return this.#add({ driver: 'null-co', size: SIZE, 'read-zeroes': true }, new Map(), 'done');
    }
    const filename = path.join(this.#folder, `${this.#random.below(1e9)}`);
    if (this.#random.chance(0.3)) fs.writeFileSync(filename, Buffer.alloc(SIZE));
    else fs.copyFileSync(this.#template, filename);
    return this.#add({ driver: 'file', filename }, new Map(), 'done');
  }

  #addFilter(): Promise<void> {
    const filter = this.#filter();
    const link = FILTERS[filter.driver];
    const below = this.#node();
    return this.#add({ ...filter, [link]: below }, new Map([[link, below]]), this.#above(filter.driver, below));
  }

  /** These two ask for nothing themselves; copy-on-read, once it is used, shares its disk with no writer. */
  #above(filter: Filter, below: string): Expected {
    const modest = filter === 'throttle' || filter === 'blkdebug';
    const copying = [...this.nodes].some(
      ([name, { driver }]) => driver === 'copy-on-read' && this.#isBelow(below, name),
    );
    return modest && !copying ? 'done' : 'either';
  }

  #addFormat(): Promise<void> {
    const file = this.#node();
    if (this.#random.chance(0.3)) return this.#add({ driver: 'raw', file }, new Map([['file', file]]), 'either');
    const backing = this.#random.chance(0.6) ? this.#node() : null;
    const children = new Map([['file', file], ...(backing === null ? [] : [['backing', backing] as const])]);
    return this.#add({ driver: 'qcow2', file, backing }, children, 'either');
  }

  #addQuorum(): Promise<void> {
    const below = Array.from({ length: this.#random.between(1, 3) }, () => this.#node());
    const children = new Map(below.map((each, index) => [`children.${index}`, each]));
    return this.#add({ driver: 'quorum', children: below, 'vote-threshold': 1 }, children, 'either');
  }

  #isUsed(name: string): boolean {
    const above = [...this.nodes.values()].some(({ children }) => [...children.values()].includes(name));
    return above || this.users.some(({ node }) => node === name);
  }

  #delete(): Promise<void> {
    const name = this.#random.chance(0.9) ? this.#node() : this.#name();
    const expected = this.nodes.has(name) && !this.#isUsed(name) ? 'done' : 'refused';
    return this.#ask('blockdev-del', { 'node-name': name }, expected, () => void this.nodes.delete(name));
  }

  #isBelow(top: string, wanted: string): boolean {
    if (top === wanted) return true;
    return [...(this.nodes.get(top)?.children.values() ?? [])].some((each) => this.#isBelow(each, wanted));
  }

  /** Another child for a node; what would be a cycle is refused. */
  async #reopen(): Promise<void> {
    const name = this.#node();
    const node = this.nodes.get(name);
    const links = [...(node?.children.keys() ?? [])].filter((link) => !link.startsWith('children.'));
    if (!node || links.length === 0) return;
    const link = this.#random.pick(node.driver === 'qcow2' ? [...links, 'backing'] : links);
    const child = this.#node();
    const options = {
      driver: node.driver,
      'node-name': name,
      ...(node.driver === 'throttle' ? { 'iops-total': 1e9 } : {}),
      ...(node.driver === 'qcow2' ? { backing: null } : {}),
      ...Object.fromEntries(node.children),
      [link]: child,
    };
    const expected = this.#isBelow(child, name) ? 'refused' : 'either';
    await this.#ask('blockdev-reopen', { options: [options] }, expected, () => void node.children.set(link, child));
  }

  /** All who use `from` use `to`, but for those in `except`. */
  #move(from: string, to: string, except?: string): void {
    for (const [name, { children }] of this.nodes) {
      if (name === except) continue;
      for (const [link, child] of children) if (child === from) children.set(link, to);
    }
    for (const user of this.users) if (user.node === from) user.node = to;
  }

  #insert(): Promise<void> {
    const [name, below, filter] = [this.#name(), this.#node(), this.#filter()];
    const args = { 'node-name': below, filter: { ...filter, 'node-name': name } };
    const expected = this.#expectAdded(name, [below], this.#above(filter.driver, below));
    return this.#ask('x-blockyard-insert-filter', args, expected, () => {
      this.#move(below, name);
      this.nodes.set(name, { driver: filter.driver, children: new Map([[FILTERS[filter.driver], below]]), next: 1 });
    });
  }

  #remove(): Promise<void> {
    const name = this.#node();
    const { driver = '', children } = this.nodes.get(name) ?? {};
    const below = Object.hasOwn(FILTERS, driver) ? children?.get(FILTERS[driver as Filter]) : undefined;
    const expected = below === undefined ? 'refused' : driver === 'throttle' ? 'done' : 'either';
    return this.#ask('x-blockyard-remove-filter', { 'node-name': name }, expected, () => {
      this.#move(name, below ?? '');
      this.nodes.delete(name);
    });
  }

  async #changeQuorum(): Promise<void> {
    const found = [...this.nodes].filter(([, { driver }]) => driver === 'quorum');
    if (found.length === 0) return;
    const [parent, quorum] = this.#random.pick(found);
    const { children } = quorum;
    if (this.#random.chance(0.5)) {
      const child = this.#random.pick([...children.keys(), 'children.9']);
      const fits = children.has(child) && children.size > 1 ? 'done' : 'refused';
      await this.#ask('x-blockdev-change', { parent, child }, fits, () => {
        children.delete(child);
        if (child === `children.${quorum.next - 1}`) quorum.next--;
      });
      return;
    }
    const node = this.#node();
    await this.#ask('x-blockdev-change', { parent, node }, this.#isBelow(node, parent) ? 'refused' : 'either', () => {
      children.set(`children.${quorum.next++}`, node);
    });
  }

  #snapshot(): Promise<void> {
    const [node, overlay] = [this.#node(), this.#node()];
    const there = this.nodes.get(overlay);
    const fits = there?.driver === 'qcow2' && !there.children.has('backing') && !this.#isUsed(overlay);
    const expected = fits && node !== overlay && this.nodes.has(node) ? 'either' : 'refused';
    return this.#ask('blockdev-snapshot', { node, overlay }, expected, () => {
      this.#move(node, overlay, overlay);
      there?.children.set('backing', node);
    });
  }

  async #attach(): Promise<void> {
    const node = this.#node();
    const { graph } = this.#scene.service;
    if (this.users.length > 3 || !this.nodes.has(node)) return;
    const before = everything(graph);
    const perm = Perm.CONSISTENT_READ | (this.#random.chance(0.5) ? Perm.WRITE : 0);
    try {
      const permissions = { perm, shared: Perm.ALL };
      this.users.push({ backend: Backend.attach(graph, graph.find(node), { user: 'a user', permissions }), node });
    } catch (error) {
      if (changes(before, everything(graph)) !== '') throw error;
    }
  }

  async #leave(): Promise<void> {
    const at = this.#random.below(Math.max(1, this.users.length));
    for (const { backend } of this.users.splice(at, 1)) await backend.close();
  }
}

function line(name: string, driver: string, children: readonly (readonly [string, string])[]): string {
  const links = children.map(([link, child]) => `${link} ${child}`).sort();
  return `${name} ${driver}: ${links.join(', ')}`;
}

/** All that a change could leave half done, a line for each node and each link. */
function everything(graph: Scene['service']['graph']): string[] {
  const lines = [...graph.nodes.values()].flatMap(({ name, added, holds, modes, children, parents }) => [
    `${name} ${added !== undefined} ${holds.size} ${JSON.stringify(modes)} ${[...children.keys()].join()}`,
    ...[...parents].map((edge) => `${edge.parent.describe()} ${edge.name} ${name} ${edge.perm} ${edge.shared}`),
  ]);
  return lines.sort();
}

/** What differs between two states; empty where nothing does. */
function changes(before: readonly string[], after: readonly string[]): string {
  const gone = before.filter((each) => !after.includes(each)).map((each) => `- ${each}`);
  const come = after.filter((each) => !before.includes(each)).map((each) => `+ ${each}`);
  return [...gone, ...come].join('\n');
}
