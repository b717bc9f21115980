/** What a job has taken of the nodes it works on, to be given back at once before it changes the graph at its end. */
import { Closer } from '../async/closer.ts';
import { Backend } from '../block/backend/backend.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import type { Edge } from '../block/graph/edge.ts';
import { freezeChain } from '../block/graph/freeze.ts';
import { type GiveBack, lendWritable } from '../block/graph/lend.ts';
import type { Hold, Node } from '../block/graph/node.ts';
import type { OperationPart } from '../block/graph/operations.ts';
import type { Holder, Reliance } from '../block/graph/refusal.ts';
import { cover, takeOut } from '../block/graph/reshape.ts';
import { Perm } from '../block/permissions-bits.ts';
import type { Job } from './job.ts';

const NOTHING: OperationPart = { perm: 0, shared: Perm.ALL };

export class Holdings {
  readonly #graph: BlockGraph;
  readonly #edges: Edge[] = [];
  readonly #backends: Backend[] = [];
  readonly #frozen: (() => void)[] = [];
  readonly #lent: GiveBack[] = [];
  readonly #holder: Holder;
  #filter: { readonly node: Node; readonly hold: Hold } | undefined;

  /** @param holder the job, which need not be made yet. */
  constructor(graph: BlockGraph, holder: Holder) {
    this.#graph = graph;
    this.#holder = holder;
  }

  /** For messages: the job. */
  get holder(): string {
    return this.#holder.describe();
  }

  /** Have a node that was opened read-only be writable until {@link giveBack}, or the end of the job. */
  async makeWritable(node: Node): Promise<void> {
    this.#lent.push(await lendWritable(this.#graph, node));
  }

  /**
   * Have the users of what is below `filter` use that, which is the job's own and stays open until the job ends. What the
   * job needs of the nodes below it takes with `also`, in the same moment.
   */
  putIn<T>(filter: Node, also: (below: Node) => T): Promise<T> {
    this.#filter = { node: filter, hold: this.#graph.hold(filter, this.#holder) };
    filter.owner = this.#holder;
    return cover(this.#graph, filter, also);
  }

  /** Have its users use what is below again, once all else is given back. */
  async takeOut(): Promise<void> {
    this.release();
    if (this.#filter) await takeOut(this.#graph, this.#filter.node);
  }

  /** The nodes are read-only again, or stay as they are with `keep`. */
  async giveBack(how?: { readonly keep?: boolean }): Promise<void> {
    for (const giveBack of this.#lent.splice(0).reverse()) await giveBack(how);
  }

  /** A backend that sends requests also while the graph is drained: its job holds still by itself. */
  attach(node: Node, { role, permissions }: { readonly role: string; readonly permissions: OperationPart }): Backend {
    const user = `the ${role} of ${this.#holder.describe()}`;
    const backend = Backend.attach(this.#graph, node, { user, permissions, unqueued: true });
    this.#backends.push(backend);
    return backend;
  }

  /** See {@link freezeChain}. */
  freeze(top: Node, bottom: Node, how?: Reliance): void {
    this.#frozen.push(freezeChain(top, bottom, this.#holder, how));
  }

  /** Have `job` hold permissions on a node. */
  hold(job: Job, node: Node, name: string, permissions: OperationPart): void {
    this.#edges.push(job.hold(this.#graph, { node, name, permissions }));
  }

  /** The backends and the filter are the job's from now on, which closes them. */
  giveTo(job: Job): void {
    if (this.#filter) this.#filter.node.owner = job;
    job.atEnd(() => this.giveBack());
    job.atEnd(async () => this.#filter?.hold.release());
    for (const backend of this.#backends) job.own(backend);
  }

  /** Need nothing and share everything from now on; links may move again. Doing so again does nothing. */
  release(): void {
    for (const unfreeze of this.#frozen.splice(0)) unfreeze();
    for (const edge of this.#edges.splice(0)) this.#graph.setPermissions(edge, NOTHING);
    for (const backend of this.#backends) if (backend.attached) backend.setPermissions(NOTHING);
  }

  /** For a job that was never made. */
  async close(): Promise<void> {
    await using closer = new Closer();
    closer.push(() => this.giveBack());
    closer.push(async () => this.#filter?.hold.release());
    closer.push(() => this.takeOut());
    for (const backend of this.#backends) closer.push(() => backend.close());
    this.release();
  }
}
