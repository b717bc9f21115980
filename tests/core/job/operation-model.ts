/**
 * A second, simple account of which operations get along, made of nothing but the rows of the operations table and the
 * rules for how permissions go down a chain: layers `l0` (the deepest), `l1`, …, filters that jobs put on top of them,
 * and links that jobs hold.
 */
import { type OperationName, type OperationPart, operations } from '../../../src/core/block/graph/operations.ts';

const [R, W, U, Z, ALL] = [1, 2, 4, 8, 15];

interface Link {
  /** Undefined: a user. */
  readonly from: ModelNode | undefined;
  to: ModelNode;
  perm: number;
  shared: number;
  sharedBelow: number;
  /** Of a job, which does not want to be moved. */
  readonly fixed: boolean;
  heldBy: string | undefined;
}

type Needs = (users: Required<OperationPart> & { readonly unused: boolean }) => OperationPart;

interface ModelNode {
  readonly name: string;
  readonly users: Link[];
  readonly needs: Needs;
  readonly owner?: string;
  below?: Link;
}

/** What an image needs of its backing file. */
const layer: Needs = ({ perm, sharedBelow }) => ({ perm: perm & R, shared: R | U | (sharedBelow & W ? W | Z : 0) });

const filters: Readonly<Record<string, Needs>> = {
  'mirror-live': ({ perm, shared, unused }) => ({ perm, shared: unused ? shared : shared & ~W }),
  'commit-active': ({ perm, shared, unused }) =>
    unused ? { perm, shared } : { perm: perm & ~R, shared: shared & ~W, sharedBelow: shared | W },
  commit: () => ({ perm: 0, shared: ALL }),
  stream: ({ perm, shared, sharedBelow, unused }) => ({
    perm: perm | U,
    shared: (unused ? shared : shared & ~W) | U,
    sharedBelow,
  }),
  backup: ({ perm, shared, unused }) => ({
    perm: perm | (perm & W ? R : 0),
    shared: unused ? shared : shared & ~(W | Z),
  }),
};

/** The rows, and those with a target once more by it. */
export type ModelOperation = OperationName | 'mirror-into' | 'mirror-live-into' | 'backup-into';

/** Why an operation is refused; `others` are those in its way. */
export class Refused extends Error {}

export class ChainModel {
  readonly #layers: ModelNode[] = [];

  constructor(count: number, user: OperationPart) {
    for (let index = 0; index < count; index++) {
      const node: ModelNode = { name: `l${index}`, users: [], needs: layer };
      const below = this.#layers.at(-1);
      if (below) node.below = this.#link(node, below, { perm: 0, shared: ALL });
      this.#layers.push(node);
    }
    this.#use(count - 1, user);
    this.#check();
  }

  /** Begin an operation with its uppermost part at a layer; throws {@link Refused}, after which this is of no use any more. */
  begin(name: ModelOperation, at: number): void {
    const row = operations[this.#row(name)];
    const part = (which: string): OperationPart => {
      const found = (row as Readonly<Record<string, OperationPart>>)[which];
      if (!found) throw new Error(`${name} has no part ${which}`);
      return found;
    };
    if (name === 'mirror-live' || name === 'commit-active' || name === 'commit') {
      const filter = this.#filter(at, name, name === 'mirror-live' ? 'mirror' : 'commit');
      this.#use(at, part('source'));
      if (name !== 'mirror-live') {
        this.#use(at - 2, part('target'));
        this.#hold(filter, this.#layer(at - 2), 'commit');
        this.#job(this.#layer(at - 1), part('intermediate'));
      }
      this.#job(filter, part('main'));
    } else if (name === 'stream') {
      const filter = this.#filter(at, 'stream', 'stream');
      this.#link(undefined, filter, part('main'));
      this.#hold(filter, this.#layer(at - 1), 'stream');
      this.#job(filter, { perm: 0, shared: part('main').shared });
      this.#job(this.#layer(at), part('active'));
      this.#job(this.#layer(at - 1), part('intermediate'));
    } else if (name === 'backup') {
      this.#job(this.#layer(at), part('source'));
      this.#check();
      this.#job(this.#filter(at, 'backup', 'backup'), part('main'));
    } else if (name === 'backup-into') {
      this.#job(this.#layer(at), part('target'));
      // By the filter, which alone writes there.
      this.#use(at, { perm: W, shared: ALL & ~Z });
    } else if (name === 'rebase') {
      this.#use(at, part('image'));
      this.#use(at - 1, part('backing'));
    } else if (name === 'mirror') this.#use(at, part('source'));
    else if (name === 'create' || name === 'mirror-into' || name === 'mirror-live-into') this.#use(at, part('target'));
    else this.#use(at, part('image'));
    this.#check();
  }

  #row(name: ModelOperation): OperationName {
    return name.replace(/-into$/, '') as OperationName;
  }

  #layer(index: number): ModelNode {
    const node = this.#layers[index];
    if (!node) throw new Error(`no layer ${index}`);
    return node;
  }

  #use(at: number, part: OperationPart): void {
    this.#link(undefined, this.#layer(at), part);
  }

  #job(node: ModelNode, part: OperationPart): void {
    this.#link(undefined, node, part, true);
  }

  #link(from: ModelNode | undefined, to: ModelNode, part: OperationPart, fixed = false): Link {
    const { perm, shared, sharedBelow = shared } = part;
    const link = { from, to, perm, shared, sharedBelow, fixed, heldBy: undefined };
    to.users.push(link);
    return link;
  }

  /** Put a filter over a layer: those who use the layer use the filter. */
  #filter(at: number, kind: keyof typeof filters, owner: string): ModelNode {
    const below = this.#layer(at);
    const needs = filters[kind];
    if (!needs) throw new Error(`no filter ${kind}`);
    const node: ModelNode = { name: `${kind} over l${at}`, users: [], needs, owner };
    for (const link of below.users.filter(({ fixed }) => !fixed)) {
      if (link.heldBy !== undefined) throw new Refused(`${link.heldBy} holds the link to ${below.name}`);
      below.users.splice(below.users.indexOf(link), 1);
      link.to = node;
      node.users.push(link);
    }
    node.below = this.#link(node, below, { perm: 0, shared: ALL });
    this.#check();
    return node;
  }

  #hold(top: ModelNode, bottom: ModelNode, owner: string): void {
    const links: Link[] = [];
    for (let node = top; node !== bottom; ) {
      const link = node.below;
      if (!link) throw new Error(`${bottom.name} is not below ${top.name}`);
      if (link.heldBy !== undefined || link.to.owner !== undefined) {
        throw new Refused(`${link.heldBy ?? link.to.owner} holds the link to ${link.to.name}`);
      }
      links.push(link);
      node = link.to;
    }
    for (const link of links) link.heldBy = owner;
  }

  /** From the top down: what each node's users need and share together decides what it needs of the one below. */
  #check(): void {
    const [lowest] = this.#layers;
    const order: ModelNode[] = [];
    for (let nodes = lowest ? [lowest] : []; nodes.length > 0; ) {
      order.unshift(...nodes);
      nodes = nodes.flatMap(({ users }) => users.flatMap(({ from }) => from ?? []));
    }
    for (const node of order) {
      for (const a of node.users) {
        for (const b of node.users) {
          if (a !== b && (a.perm & ~b.shared) !== 0) throw new Refused(`permissions on ${node.name}`);
        }
      }
      const perm = node.users.reduce((sum, link) => sum | link.perm, 0);
      const shared = node.users.reduce((rest, link) => rest & link.shared, ALL);
      const sharedBelow = node.users.reduce((rest, link) => rest & link.sharedBelow, ALL);
      if (!node.below) continue;
      const needs = node.needs({ perm, shared, sharedBelow, unused: node.users.length === 0 });
      Object.assign(node.below, { sharedBelow: needs.shared, ...needs });
    }
  }
}
