/**
 * The handle of whoever uses a graph: a command, an export, a job. It holds a root edge with the
 * permissions its user needs, and the user's habits: write-through, bounds that must not be crossed,
 * waiting while the graph below is drained. It outlives the node it points at.
 */
import type { Maybe } from '../../async/maybe.ts';
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
import { Perm, type PermMask, permNames } from '../permissions-bits.ts';
import { totalLength } from '../request/pieces.ts';

export interface BackendSettings {
  /** For messages: "the source", "export 'e'". */
  readonly user: string;
  readonly permissions: OperationPart;
  readonly writethrough?: boolean;
  /** Its user holds still by itself while the graph is drained (a job), and may send requests even then. */
  readonly unqueued?: boolean;
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
      await graph.closeIfUnused(node).catch(() => undefined);
      throw error;
    }
  }

  get root(): Edge {
    if (!this.#root) throw new BlockError(`${this.#settings.user} has no medium`, { code: 'ENOMEDIUM' });
    return this.#root;
  }

  /** It has a node; false once closed. */
  get attached(): boolean {
    return this.#root !== undefined;
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

  /** What it takes and shares now. */
  get permissions(): OperationPart {
    const { perm, shared } = this.root;
    return { perm, shared };
  }

  /** Take and share this from now on; throws with nothing changed where others do not agree. */
  setPermissions(permissions: OperationPart): void {
    this.#graph.setPermissions(this.root, permissions);
  }

  drainBegin(): void {
    if (!this.#settings.unqueued) this.#quiesced++;
  }

  drainEnd(): void {
    if (this.#settings.unqueued) return;
    this.#quiesced--;
    if (this.#quiesced > 0) return;
    const waiting = this.#resume;
    this.#resume = [];
    for (const resume of waiting) resume();
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.read(offset, buf));
    return this.#inside(offset, buf.length).read(offset, buf);
  }

  readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.readv(offset, bufs));
    return this.#inside(offset, totalLength(bufs)).readv(offset, bufs);
  }

  write(offset: number, buf: Uint8Array, flags: Flags = 0): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.write(offset, buf, flags));
    return this.#writable(offset, buf.length, flags).write(offset, buf, this.#writeFlags(flags));
  }

  writev(offset: number, bufs: readonly Uint8Array[], flags: Flags = 0): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.writev(offset, bufs, flags));
    return this.#writable(offset, totalLength(bufs), flags).writev(offset, bufs, this.#writeFlags(flags));
  }

  writeCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.writeCompressed(offset, buf));
    const root = this.#writable(offset, buf.length, Flag.COMPRESSED);
    if (!this.#settings.writethrough) return root.writeCompressed(offset, buf);
    return root.write(offset, buf, Flag.COMPRESSED | Flag.FUA);
  }

  zero(offset: number, length: number, flags: Flags = 0): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.zero(offset, length, flags));
    return this.#writable(offset, length, flags).zero(offset, length, this.#writeFlags(flags));
  }

  discard(offset: number, length: number): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.discard(offset, length));
    return this.#writable(offset, length, Flag.NONE).discard(offset, length);
  }

  flush(): Maybe<void> {
    if (this.#quiesced > 0) return this.#whenRunning().then(() => this.flush());
    return this.root.flush();
  }

  async truncate(size: number, options: TruncateOptions = {}): Promise<void> {
    while (this.#quiesced > 0) await this.#whenRunning();
    this.#assertMay(this.root, Perm.RESIZE);
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
    const waiting = [this, target].find((each) => each.#quiesced > 0);
    if (waiting) return waiting.#whenRunning().then(() => this.copyRangeTo(offset, target, targetOffset, length));
    // The kernel's copies know no write-through; written data does.
    if (target.#settings.writethrough) return false;
    const to = target.#writable(targetOffset, length, Flag.NONE);
    return this.#inside(offset, length).copyRangeFrom(offset, to, targetOffset, length);
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
      // What is still being written here must be done before the permission to do so is given back.
      if (!edge.node.modes.readOnly) {
        await edge.node.io.tracker.settled();
        await edge.node.io.flush();
      }
    } catch (error) {
      failure = error;
    }
    this.#root = undefined;
    try {
      await this.#graph.detach(edge);
    } catch (error) {
      failure ??= error;
    }
    if (failure !== undefined) throw failure;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #writeFlags(flags: Flags): Flags {
    return this.#settings.writethrough ? flags | Flag.FUA : flags;
  }

  /** The root, for a request of whole bytes that lies within the disk. */
  #inside(offset: number, length: number): Edge {
    const root = this.#root;
    const whole = Number.isInteger(offset) && Number.isInteger(length);
    if (root && whole && offset >= 0 && length >= 0 && offset + length <= root.size) return root;
    throw new BlockError(`request of ${length} bytes at ${offset} is outside the disk of ${this.size} bytes`, {
      code: 'EIO',
    });
  }

  #writable(offset: number, length: number, flags: Flags): Edge {
    const root = this.#inside(offset, length);
    this.#assertMay(root, (flags & Flag.UNCHANGED) === 0 ? Perm.WRITE : Perm.WRITE | Perm.WRITE_UNCHANGED);
    return root;
  }

  /** Without the permission no lock is held that keeps other programs away. */
  #assertMay(root: Edge, permissions: PermMask): void {
    if ((root.perm & permissions) !== 0) return;
    throw new BlockError(
      `${this.#settings.user} has no ${permNames(permissions)} permission on ${root.node.describe()}`,
      {
        code: 'EPERM',
      },
    );
  }

  #whenRunning(): Promise<void> {
    return new Promise((resolve) => this.#resume.push(resolve));
  }
}
