/**
 * The handle of whoever uses a graph: a command, an export, a job. It holds a root edge with the
 * permissions its user needs, and the user's habits: write-through, bounds that must not be crossed,
 * waiting while the graph below is drained. It outlives the node it points at.
 */
import { after, type Maybe } from '../../async/maybe.ts';
import { BlockError } from '../../errors/block-error.ts';
import type { Extent, Flags, Limits, TruncateOptions } from '../driver.ts';
import { Flag } from '../driver.ts';
import type { BlockGraph } from '../graph/block-graph.ts';
import type { Edge, EdgeParent } from '../graph/edge.ts';
import type { Node } from '../graph/node.ts';
import { type OpenSettings, openNode } from '../graph/open.ts';
import type { OperationPart } from '../graph/operations.ts';
import type { NodeSpec } from '../graph/spec.ts';
import { type ChainExtent, chainStatus } from '../graph/status.ts';
import { totalLength } from '../request/pieces.ts';

export interface BackendSettings {
  /** For messages: "the source", "export 'e'". */
  readonly user: string;
  readonly permissions: OperationPart;
  readonly writethrough?: boolean;
}

export class Backend implements EdgeParent, AsyncDisposable {
  readonly kind = 'backend';
  readonly #graph: BlockGraph;
  readonly #settings: BackendSettings;
  #root: Edge | undefined;
  #quiesced = 0;
  #resume: (() => void)[] = [];
  #closed: Promise<void> | undefined;

  private constructor(graph: BlockGraph, settings: BackendSettings) {
    this.#graph = graph;
    this.#settings = settings;
  }

  /** A backend on a node that is open; throws PermissionConflict when others do not share what it needs. */
  static attach(graph: BlockGraph, node: Node, settings: BackendSettings): Backend {
    const backend = new Backend(graph, settings);
    const link = { parent: backend, node, name: 'root', role: 'filtered' } as const;
    backend.#root = graph.attach(link, settings.permissions);
    return backend;
  }

  /** Open `spec` and attach to it. */
  static async open(
    graph: BlockGraph,
    spec: NodeSpec,
    settings: BackendSettings & { readonly open?: OpenSettings },
  ): Promise<Backend> {
    const node = await openNode(graph, spec, settings.open);
    try {
      return Backend.attach(graph, node, settings);
    } catch (error) {
      await graph.closeIfUnused(node);
      throw error;
    }
  }

  get root(): Edge {
    if (!this.#root) throw new BlockError(`${this.#settings.user} has no medium`, { code: 'ENOMEDIUM' });
    return this.#root;
  }

  get node(): undefined {
    return undefined;
  }

  get image(): Node {
    return this.root.node;
  }

  get graph(): BlockGraph {
    return this.#graph;
  }

  /** Length of the disk in bytes. */
  get size(): number {
    return this.root.size;
  }

  get limits(): Limits {
    return this.root.limits;
  }

  describe(): string {
    return this.#settings.user;
  }

  drainBegin(): void {
    this.#quiesced++;
  }

  drainEnd(): void {
    this.#quiesced--;
    if (this.#quiesced > 0) return;
    const waiting = this.#resume;
    this.#resume = [];
    for (const resume of waiting) resume();
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.read(offset, buf));
    this.#assertInside(offset, buf.length);
    return this.root.read(offset, buf);
  }

  readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.readv(offset, bufs));
    this.#assertInside(offset, totalLength(bufs));
    return this.root.readv(offset, bufs);
  }

  write(offset: number, buf: Uint8Array, flags: Flags = 0): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.write(offset, buf, flags));
    this.#assertInside(offset, buf.length);
    return this.root.write(offset, buf, this.#writeFlags(flags));
  }

  writev(offset: number, bufs: readonly Uint8Array[], flags: Flags = 0): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.writev(offset, bufs, flags));
    this.#assertInside(offset, totalLength(bufs));
    return this.root.writev(offset, bufs, this.#writeFlags(flags));
  }

  writeCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.writeCompressed(offset, buf));
    this.#assertInside(offset, buf.length);
    return this.root.writeCompressed(offset, buf);
  }

  zero(offset: number, length: number, flags: Flags = 0): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.zero(offset, length, flags));
    this.#assertInside(offset, length);
    return this.root.zero(offset, length, this.#writeFlags(flags));
  }

  discard(offset: number, length: number): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.discard(offset, length));
    this.#assertInside(offset, length);
    return this.root.discard(offset, length);
  }

  flush(): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.flush());
    return this.root.flush();
  }

  async truncate(size: number, options: TruncateOptions = {}): Promise<void> {
    while (this.#quiesced > 0) await this.#whenRunning();
    await this.root.truncate(size, options);
  }

  /** What the top layer alone says. */
  status(offset: number, length: number, precise = true): Maybe<Extent> {
    return this.root.status(offset, length, precise);
  }

  /** Status seen through the whole chain, down to and excluding `base`. */
  chainStatus(offset: number, length: number, options: { base?: Node; precise?: boolean } = {}): Maybe<ChainExtent> {
    return chainStatus(this.image, options.base, { offset, length, precise: options.precise ?? true });
  }

  copyRangeTo(offset: number, target: Backend, targetOffset: number, length: number): Maybe<boolean> {
    this.#assertInside(offset, length);
    target.#assertInside(targetOffset, length);
    return this.root.copyRangeFrom(offset, target.root, targetOffset, length);
  }

  /** Flush, give back the permissions, and close the node when nobody else uses it. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const edge = this.#root;
    if (!edge) return;
    let failure: unknown;
    try {
      if (!edge.node.modes.readOnly) await after(edge.node.io.flush(), () => undefined);
    } catch (error) {
      failure = error;
    }
    this.#root = undefined;
    await this.#graph.detach(edge);
    if (failure !== undefined) throw failure;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #writeFlags(flags: Flags): Flags {
    return this.#settings.writethrough ? flags | Flag.FUA : flags;
  }

  #assertInside(offset: number, length: number): void {
    if (offset >= 0 && length >= 0 && offset + length <= this.root.size) return;
    throw new BlockError(`request of ${length} bytes at ${offset} is outside the disk of ${this.root.size} bytes`, {
      code: 'EIO',
    });
  }

  #whenRunning(): Promise<void> {
    return new Promise((resolve) => this.#resume.push(resolve));
  }
}
