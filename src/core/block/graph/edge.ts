import type { Maybe } from '../../async/maybe.ts';
import type { ChildRole, Extent, Flags, HostExtent, Limits, TruncateOptions } from '../driver.ts';
import type { BlockEvent } from '../events.ts';
import type { PermMask } from '../permissions-bits.ts';
import type { Node } from './node.ts';
import type { Holder, Reliance } from './refusal.ts';

/** Whoever holds an edge: a node (for its children), a backend, or a job. */
export interface EdgeParent {
  readonly kind: 'node' | 'backend' | 'job';
  /** The node, when the parent is one. */
  readonly node?: Node | undefined;
  /** For messages: "node 'disk0'", "the export 'e'". */
  describe(): string;
  /** Every write of it is stable before it completes. */
  readonly writethrough?: boolean;
  /** Stop sending new requests down until the matching end; requests in flight go on. */
  drainBegin?(): void;
  drainEnd?(): void;
  /** The child's size changed. */
  resized?(): void;
  /** Its edge leads to another node now; nothing is in flight. */
  moved?(): void;
  /** A node below was closed by force: what waits for it is to fail. */
  closedBelow?(): void;
}

/** Where requests go: those of {@link Edge}, with everything said. */
export interface RequestTarget {
  read(offset: number, buf: Uint8Array): Maybe<void>;
  readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void>;
  write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void>;
  writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void>;
  writeCompressed(offset: number, buf: Uint8Array): Maybe<void>;
  zero(offset: number, length: number, flags: Flags): Maybe<void>;
  discard(offset: number, length: number): Maybe<void>;
  flush(): Maybe<void>;
  truncate(size: number, options: TruncateOptions): Promise<void>;
  copyRangeFrom(offset: number, target: Edge, targetOffset: number, length: number): Maybe<boolean>;
  copyRangeTo(offset: number, source: HostExtent, length: number): Maybe<boolean>;
}

/**
 * A link from a user of a node to the node, with what the user needs of it and what it shares with others.
 * The data operations are those of the node below; reads past its end give zeroes, and a write past its end
 * grows it where the driver can.
 */
export class Edge implements RequestTarget {
  readonly name: string;
  /** A driver narrows this while it opens (`file` is metadata only beside a data file). */
  role: ChildRole;
  /** While a node is being opened a stand-in; then the node. */
  parent: EdgeParent;
  /** Changes when the node below is replaced (a filter inserted, a job completed). */
  node: Node;
  /** Taken and shared permissions now in force; changed by `graph/permissions.ts` only. */
  perm: PermMask = 0;
  shared: PermMask = 15;
  sharedBelow: PermMask = 15;
  /** The child was opened with its parent, and takes over its modes when those change; else it was named. */
  follows: { readonly readOnly: boolean | undefined } | undefined;
  /** Those who rely on this link, which must not be moved, and how. */
  readonly frozenBy = new Map<Holder, Reliance>();

  constructor(init: { name: string; role: ChildRole; parent: EdgeParent; node: Node }) {
    this.name = init.name;
    this.role = init.role;
    this.parent = init.parent;
    this.node = init.node;
  }

  /** Length in bytes, a multiple of 512. */
  get size(): number {
    return this.node.io.size;
  }

  /** What the parent writes may end up here (a backing file only lends its content). */
  get holdsData(): boolean {
    return this.role !== 'cow';
  }

  get limits(): Limits {
    return this.node.io.limits;
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    return this.node.entry.read(offset, buf);
  }

  readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    return this.node.entry.readv(offset, bufs);
  }

  write(offset: number, buf: Uint8Array, flags: Flags = 0): Maybe<void> {
    return this.node.entry.write(offset, buf, flags);
  }

  writev(offset: number, bufs: readonly Uint8Array[], flags: Flags = 0): Maybe<void> {
    return this.node.entry.writev(offset, bufs, flags);
  }

  writeCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    return this.node.entry.writeCompressed(offset, buf);
  }

  zero(offset: number, length: number, flags: Flags = 0): Maybe<void> {
    return this.node.entry.zero(offset, length, flags);
  }

  discard(offset: number, length: number): Maybe<void> {
    return this.node.entry.discard(offset, length);
  }

  flush(): Maybe<void> {
    return this.node.entry.flush();
  }

  truncate(size: number, options: TruncateOptions = {}): Promise<void> {
    return this.node.entry.truncate(size, options);
  }

  /** Announce a point of the parent's work to a fault injector below; nothing where there is none. */
  event(name: BlockEvent): Maybe<void> {
    const { image } = this.node;
    if (image.event !== undefined) return image.event(name);
  }

  /** What this node alone says of a range; `graph/status.ts` walks the chain. */
  status(offset: number, length: number, precise = true): Maybe<Extent> {
    return this.node.io.status(offset, length, precise);
  }

  copyRangeFrom(offset: number, target: Edge, targetOffset: number, length: number): Maybe<boolean> {
    return this.node.entry.copyRangeFrom(offset, target, targetOffset, length);
  }

  copyRangeTo(offset: number, source: HostExtent, length: number): Maybe<boolean> {
    return this.node.entry.copyRangeTo(offset, source, length);
  }
}
