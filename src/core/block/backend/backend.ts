/**
 * The handle of whoever uses a graph: a command, an export, a job. It holds a root edge with the
 * permissions its user needs, and the user's habits: write-through, bounds that must not be crossed,
 * waiting while the graph below is drained. It outlives the node it points at.
 */
import type { Maybe } from '../../async/maybe.ts';
import { asBlockError, BlockError } from '../../errors/block-error.ts';
import { accounted, accountedRead, accountedWrite } from '../accounting/accounted.ts';
import { Accounting } from '../accounting/accounting.ts';
import type { IoKind } from '../accounting/counters.ts';
import type { Extent, Flags, Limits, TruncateOptions } from '../driver.ts';
import { Flag } from '../driver.ts';
import type { BlockGraph } from '../graph/block-graph.ts';
import { hurrying } from '../graph/drain.ts';
import type { Edge, EdgeParent } from '../graph/edge.ts';
import type { Node } from '../graph/node.ts';
import { type OpenSettings, openNode } from '../graph/open.ts';
import type { OperationPart } from '../graph/operations.ts';
import type { NodeSpec } from '../graph/spec.ts';
import { type ChainExtent, chainStatus } from '../graph/status.ts';
import { Perm, type PermMask, permNames } from '../permissions-bits.ts';
import { totalLength } from '../request/pieces.ts';
import type { ThrottleMember } from '../throttle/group.ts';
import { type ErrorPolicies, Gate, InvalidRequest } from './gate.ts';

export interface BackendSettings {
  /** What it is called from outside, where anybody may refer to it: the id of an export. */
  readonly name?: string;
  /** For messages: "the source", "export 'e'". */
  readonly user: string;
  readonly permissions: OperationPart;
  readonly writethrough?: boolean;
  /** Its user holds still by itself while the graph is drained (a job), and may send requests even then. */
  readonly unqueued?: boolean;
}

export class Backend implements EdgeParent, AsyncDisposable {
  readonly kind = 'backend';
  /** Kept where it has a name, by which anybody may ask for them; its nodes keep theirs in any case. */
  readonly accounts = new Accounting();
  readonly #counted: boolean;
  readonly #graph: BlockGraph;
  readonly #settings: BackendSettings;
  #root: Edge | undefined;
  readonly #gate = new Gate();
  #closed: Promise<void> | undefined;

  private constructor(graph: BlockGraph, settings: BackendSettings) {
    this.#graph = graph;
    this.#settings = settings;
    this.#counted = settings.name !== undefined;
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

  get writethrough(): boolean {
    return this.#settings.writethrough ?? false;
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

  get name(): string | undefined {
    return this.#settings.name;
  }

  /** Have requests keep to the limits of a group; undefined for no limits. */
  setThrottle(member: ThrottleMember | undefined): void {
    this.#gate.setMember(member);
  }

  /** What is done about requests that fail; undefined reports them to whoever made them. */
  get errorPolicies(): ErrorPolicies | undefined {
    return this.#gate.policies;
  }

  set errorPolicies(policies: ErrorPolicies | undefined) {
    this.#gate.setPolicies(policies);
  }

  /** Requests wait since one failed, until {@link resume}. */
  get stopped(): boolean {
    return this.#gate.stopped;
  }

  resume(): void {
    this.#gate.resume();
  }

  /** Told whenever it stands on another node. */
  onMoved: (() => void) | undefined;

  moved(): void {
    this.onMoved?.();
  }

  closedBelow(): void {
    this.resume();
  }

  drainBegin(): void {
    if (!this.#settings.unqueued) this.#gate.quiesce();
  }

  drainEnd(): void {
    if (!this.#settings.unqueued) this.#gate.unquiesce();
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    if (!this.#gate.open) return this.#gate.pass('read', buf.length, () => this.#read(offset, buf));
    return this.#read(offset, buf);
  }

  #read(offset: number, buf: Uint8Array): Maybe<void> {
    const root = this.#inside(offset, buf.length);
    if (!this.#counted) return root.read(offset, buf);
    const { accounts } = this;
    const { read } = accounts;
    if (accounts.times(read)) return accountedRead(accounts, root, offset, buf);
    // As in NodeIo.read.
    let done: Maybe<void>;
    try {
      done = root.read(offset, buf);
    } catch (error) {
      accounts.failed(read);
      throw error;
    }
    if (done instanceof Promise) return accounts.follow(read, buf.length, done);
    read.count(buf.length);
  }

  readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    const length = totalLength(bufs);
    if (!this.#gate.open) return this.#gate.pass('read', length, () => this.#readv(offset, bufs, length));
    return this.#readv(offset, bufs, length);
  }

  #readv(offset: number, bufs: readonly Uint8Array[], length: number): Maybe<void> {
    const root = this.#inside(offset, length);
    return this.#counting('read', length, () => root.readv(offset, bufs));
  }

  write(offset: number, buf: Uint8Array, flags: Flags = 0): Maybe<void> {
    if (!this.#gate.open) return this.#gate.pass('write', buf.length, () => this.#write(offset, buf, flags));
    return this.#write(offset, buf, flags);
  }

  #write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    const root = this.#writable(offset, buf.length, flags);
    const known = this.#writeFlags(flags);
    return this.#counted ? accountedWrite(this.accounts, root, offset, buf, known) : root.write(offset, buf, known);
  }

  writev(offset: number, bufs: readonly Uint8Array[], flags: Flags = 0): Maybe<void> {
    const length = totalLength(bufs);
    if (!this.#gate.open) return this.#gate.pass('write', length, () => this.#writev(offset, bufs, flags));
    return this.#writev(offset, bufs, flags);
  }

  #writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    const length = totalLength(bufs);
    const root = this.#writable(offset, length, flags);
    return this.#writing(offset, length, () => root.writev(offset, bufs, this.#writeFlags(flags)));
  }

  writeCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    if (!this.#gate.open) return this.#gate.pass('write', buf.length, () => this.#writeCompressed(offset, buf));
    return this.#writeCompressed(offset, buf);
  }

  #writeCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    const root = this.#writable(offset, buf.length, Flag.COMPRESSED);
    const through = this.#settings.writethrough;
    return this.#writing(offset, buf.length, () =>
      through ? root.write(offset, buf, Flag.COMPRESSED | Flag.FUA) : root.writeCompressed(offset, buf),
    );
  }

  zero(offset: number, length: number, flags: Flags = 0): Maybe<void> {
    if (!this.#gate.open) return this.#gate.pass('write', length, () => this.#zero(offset, length, flags));
    return this.#zero(offset, length, flags);
  }

  #zero(offset: number, length: number, flags: Flags): Maybe<void> {
    const root = this.#writable(offset, length, flags);
    return this.#writing(offset, length, () => root.zero(offset, length, this.#writeFlags(flags)));
  }

  discard(offset: number, length: number): Maybe<void> {
    if (!this.#gate.open) return this.#gate.pass('write', length, () => this.#discard(offset, length));
    return this.#discard(offset, length);
  }

  #discard(offset: number, length: number): Maybe<void> {
    const root = this.#writable(offset, length, Flag.NONE, 'unmap');
    return this.#counting('unmap', length, () => root.discard(offset, length));
  }

  flush(): Maybe<void> {
    if (!this.#gate.open) return this.#gate.pass(undefined, 0, () => this.#flush());
    return this.#flush();
  }

  #flush(): Maybe<void> {
    const { root } = this;
    return this.#counting('flush', 0, () => root.flush());
  }

  async truncate(size: number, options: TruncateOptions = {}): Promise<void> {
    await this.#gate.whenRunning();
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
    const waiting = [this, target].find((each) => each.#gate.held);
    if (waiting) return waiting.#gate.whenRunning().then(() => this.copyRangeTo(offset, target, targetOffset, length));
    // Limits and policies are kept request by request, which a copy in the kernel is not.
    if (!this.#gate.open || !target.#gate.open) return false;
    // The kernel's copies know no write-through; written data does.
    if (target.#settings.writethrough) return false;
    const to = target.#writable(targetOffset, length, Flag.NONE);
    return this.#inside(offset, length).copyRangeFrom(offset, to, targetOffset, length);
  }

  /** Run `action`, which waits for the last requests, while nothing on the way holds them back on purpose. */
  ending<T>(action: () => Promise<T>): Promise<T> {
    this.#gate.end();
    return this.#root ? hurrying(this.#root.node, action) : action();
  }

  /** Flush, give back the permissions, and close the node when nobody else uses it. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#gate.end();
    const edge = this.#root;
    if (!edge) return;
    let failure: unknown;
    try {
      // What is still being written here must be done before the permission to do so is given back.
      if (!edge.node.modes.readOnly) {
        await this.ending(() => edge.node.io.tracker.settled());
        await edge.flush();
      }
    } catch (error) {
      // Closed by force, which has written what there was.
      if (asBlockError(error).code !== 'ENOMEDIUM') failure = error;
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

  #writing(offset: number, length: number, action: () => Maybe<void>): Maybe<void> {
    if (this.#counted) this.accounts.reaching(offset, length);
    return this.#counting('write', length, action);
  }

  #counting(kind: IoKind, length: number, action: () => Maybe<void>): Maybe<void> {
    return this.#counted ? accounted(this.accounts, this.accounts[kind], length, action) : action();
  }

  #writeFlags(flags: Flags): Flags {
    return this.#settings.writethrough ? flags | Flag.FUA : flags;
  }

  /** The root, for a request of whole bytes that lies within the disk. */
  #inside(offset: number, length: number, kind: IoKind = 'read'): Edge {
    const root = this.#root;
    const whole = Number.isInteger(offset) && Number.isInteger(length);
    if (root && whole && offset >= 0 && length >= 0 && offset + length <= root.size) return root;
    this.accounts.invalid(kind);
    throw new InvalidRequest(`request of ${length} bytes at ${offset} is outside the disk of ${this.size} bytes`, {
      code: 'EIO',
    });
  }

  #writable(offset: number, length: number, flags: Flags, kind: IoKind = 'write'): Edge {
    const root = this.#inside(offset, length, kind);
    const may = (flags & Flag.UNCHANGED) === 0 ? Perm.WRITE : Perm.WRITE | Perm.WRITE_UNCHANGED;
    if ((root.perm & may) === 0) this.accounts.invalid(kind);
    this.#assertMay(root, may);
    return root;
  }

  /** Without the permission no lock is held that keeps other programs away. */
  #assertMay(root: Edge, permissions: PermMask): void {
    if ((root.perm & permissions) !== 0) return;
    throw new InvalidRequest(
      `${this.#settings.user} has no ${permNames(permissions)} permission on ${root.node.describe()}`,
      {
        code: 'EPERM',
      },
    );
  }
}
