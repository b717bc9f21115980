import { asBlockError } from '../../errors/block-error.ts';
import type { Accounting } from '../accounting/accounting.ts';
import type { Driver, Image, OpenModes } from '../driver.ts';
import type { ObjectUse } from '../objects/object-store.ts';
import type { RecordedRequests } from '../recorded.ts';
import type { DetectZeroes } from '../request/detect-zeroes.ts';
import { NodeIo } from '../request/node-io.ts';
import type { CommonOptions } from './common-options.ts';
import type { Drain } from './drain.ts';
import type { Edge, EdgeParent, RequestTarget } from './edge.ts';
import type { Holder } from './refusal.ts';

export interface NodeInit {
  readonly name: string;
  readonly driver: Driver;
  readonly image: Image;
  readonly modes: OpenModes;
  /** What was said of the modes; all else was inherited. */
  readonly own?: CommonOptions;
  /** Options the node was opened with, as the user or the parent gave them, without children. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly fileName: string;
  readonly detectZeroes: DetectZeroes;
  readonly children: readonly Edge[];
  /** User objects that the node holds on to. */
  readonly objects?: readonly ObjectUse[];
  /** Options that `fileName` stands for; by default `filename`. */
  readonly nameSays?: ReadonlySet<string>;
  /** The driver was guessed from the content. */
  readonly probed: boolean;
  /** The user said what the backing file is, so the header does not tell. */
  readonly backingOverridden: boolean;
}

/** How many jobs need a node that they were lent, and what was said of its modes before. */
export interface Lent {
  jobs: number;
  readonly own: CommonOptions;
}

/** Somebody's word that a node is not to close; `release` takes it back, once, and closes what nobody else needs. */
export interface Hold extends AsyncDisposable {
  readonly by: Holder;
  release(): Promise<void>;
}

/**
 * An opened image: a driver instance with named child edges. It lives as long as an edge leads to it,
 * or as long as somebody holds it (`BlockGraph.hold`).
 */
export class Node implements EdgeParent {
  readonly kind = 'node';
  readonly name: string;
  readonly driver: Driver;
  readonly image: Image;
  readonly io: NodeIo;
  /** Where requests of its users go: `io`, past who records them where that is asked for. */
  entry: RequestTarget;
  #recorded: RecordedRequests | undefined;
  readonly probed: boolean;
  /** The backing file is another than the header says. */
  backingOverridden: boolean;
  readonly fileName: string;
  readonly nameSays: ReadonlySet<string>;
  detectZeroes: DetectZeroes;
  own: CommonOptions;
  options: Readonly<Record<string, unknown>>;
  modes: OpenModes;
  /** Those who keep it open although nothing above need use it; for `BlockGraph.hold` to change. */
  readonly holds = new Set<Hold>();
  /** Of these that of the client that gave it its name, until that takes it away. */
  added: Hold | undefined;
  /** A filter whose users have gone to what it filters: it needs nothing of that any more. */
  leaving = false;
  /** Opened read-only, it can be written to while jobs need that (`lend.ts`). */
  lent: Lent | undefined;
  /** The job whose filter it is: that must be able to take it out at any time, so no other may hold the link to it. */
  owner: Holder | undefined;
  readonly children = new Map<string, Edge>();
  readonly parents = new Set<Edge>();
  #closed: Promise<void> | undefined;
  /** Quiet moments that it is part of; for `drain.ts` to change. */
  readonly drains = new Set<Drain>();
  #drained = 0;
  readonly #objects: readonly ObjectUse[];

  constructor(init: NodeInit) {
    this.name = init.name;
    this.driver = init.driver;
    this.image = init.image;
    this.modes = init.modes;
    this.own = init.own ?? {};
    this.options = init.options;
    this.fileName = init.fileName;
    this.nameSays = init.nameSays ?? new Set(['filename']);
    this.detectZeroes = init.detectZeroes;
    this.probed = init.probed;
    this.backingOverridden = init.backingOverridden;
    for (const edge of init.children) {
      this.children.set(edge.name, edge);
      edge.parent = this;
    }
    this.#objects = init.objects ?? [];
    this.io = new NodeIo(init.image, this);
    this.entry = this.io;
  }

  get node(): Node {
    return this;
  }

  /** Let requests of users pass `requests`, which leads to `io` and is closed with this node. */
  record(requests: RecordedRequests): void {
    this.#recorded = requests;
    this.entry = requests;
  }

  get accounts(): Accounting {
    return this.io.accounts;
  }

  child(name: string): Edge | undefined {
    return this.children.get(name);
  }

  /** The child whose data shows through where this node has none of its own. */
  get backing(): Edge | undefined {
    return this.children.get('backing');
  }

  /** The one child whose content this node passes on: a filter's child, or the file of a plain format. */
  get filtered(): Edge | undefined {
    for (const edge of this.children.values()) if (edge.role === 'filtered') return edge;
    return undefined;
  }

  /** For a filter, that child. */
  get passedOn(): Edge | undefined {
    return this.driver.kind === 'filter' ? this.filtered : undefined;
  }

  /** Below filters the node whose content they pass on; any other node itself. */
  get layer(): Node {
    let node: Node = this;
    for (let next = node.passedOn; next; next = node.passedOn) node = next.node;
    return node;
  }

  /** The child that holds this node's own data, for walking down to the host file. */
  get primary(): Edge | undefined {
    return this.children.get('file') ?? this.filtered;
  }

  describe(): string {
    return `node '${this.name}'${this.owner ? ` of ${this.owner.describe()}` : ''}`;
  }

  /** Tell every user above, through however many layers, once. */
  resized(): void {
    const seen = new Set<Node>([this]);
    for (const node of seen) {
      for (const { parent } of node.parents) {
        if (parent.node) seen.add(parent.node);
        else parent.resized?.();
      }
    }
  }

  /** Being closed, or closed: nobody may attach any more. */
  get closing(): boolean {
    return this.#closed !== undefined;
  }

  get drained(): boolean {
    return this.#drained > 0;
  }

  /** What is under way is waited for; `drain.ts` holds back the users. */
  drainBegin(): void {
    this.#drained++;
    if (this.#drained === 1) this.image.hurry?.(true);
  }

  drainEnd(): void {
    this.#drained--;
    if (this.#drained === 0) this.image.hurry?.(false);
  }

  /**
   * Close the driver, then let go of the children. Called by the graph when the last user is gone;
   * waits for requests in flight. The children are released even when the driver fails.
   */
  close(release: (edge: Edge) => Promise<void>): Promise<void> {
    this.#closed ??= this.#close(release);
    return this.#closed;
  }

  async #close(release: (edge: Edge) => Promise<void>): Promise<void> {
    let failure: unknown;
    await this.io.whenIdle();
    // Users of a node that was closed by force are still there, but its record has an end.
    this.entry = this.io;
    for (const step of [() => this.io.bitmaps.save(), () => this.image.close(), () => this.#recorded?.close()]) {
      try {
        await step();
      } catch (error) {
        failure ??= error;
      }
    }
    for (const use of this.#objects) use.release();
    for (const edge of [...this.children.values()]) {
      try {
        await release(edge);
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== undefined) throw asBlockError(failure);
  }
}
