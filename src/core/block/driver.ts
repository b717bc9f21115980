/**
 * The interface between the block layer and its drivers.
 *
 * A driver author fills in a sparse record: `size`, `read` and `close` are required of an image, the rest
 * is optional, and presence is the capability. `core/block/request` wraps each image once, at open, into a
 * total set of operations, so a driver only ever sees requests that are in range, aligned to its limits and
 * no longer than them. Offsets and lengths are bytes, safe integers. Buffers are views; split them with
 * `subarray`, never copy to split.
 *
 * Every data operation returns {@link Maybe}: nothing at all when it is done already, a promise only when
 * it has to wait. It may throw instead of rejecting.
 */

import type { Closer } from '../async/closer.ts';
import type { Maybe } from '../async/maybe.ts';
import type { DirtyBitmap } from '../bitmap/index.ts';
import type { HostFile } from '../host/index.ts';
import type { Fields } from '../options/field.ts';
import type { OptionSchema, Options } from '../options/schema.ts';
import type { AmendCapability } from './amend.ts';
import type { BitmapStore } from './bitmap-store.ts';
import type { CheckCapability } from './check.ts';
import type { CreateCapability } from './creation.ts';
import type { Damage } from './damage.ts';
import type { BlockEvent } from './events.ts';
import type { BreakpointCapability, LabelCapability } from './fault-control.ts';
import type { Edge } from './graph/edge.ts';
import type { ImageInfo } from './image-info.ts';
import type { ObjectKind, ObjectKinds } from './objects/object-type.ts';
import type { PageCacheCapability } from './page-cache.ts';
import type { PermMask, PermPair, UserPermissions } from './permissions-bits.ts';
import type { PointInTimeCapability } from './point-in-time.ts';
import type { SnapshotCapability } from './snapshots.ts';

export type { AmendCapability, AmendContext } from './amend.ts';
export type { BitmapStore, FoundBitmap, KeptBitmap } from './bitmap-store.ts';
export type { CheckCapability, CheckOptions, CheckResult } from './check.ts';
export type { CreateCapability, CreateContext, MeasureContext } from './creation.ts';
export type { BreakpointCapability, LabelCapability } from './fault-control.ts';
export type { ImageInfo, SnapshotInfo } from './image-info.ts';
export type { PageCacheCapability, PageCachePass } from './page-cache.ts';
export type { NewSnapshot, SnapshotCapability } from './snapshots.ts';

/** Flags of write, zero and copy requests; a driver sees only those in its image's `flags`. */
export const Flag = {
  NONE: 0,
  /** The data must be on stable storage before the request completes. */
  FUA: 1,
  /** Zeroing may deallocate. */
  MAY_UNMAP: 2,
  /** Zeroing must fail with NotSupported rather than write data. */
  NO_FALLBACK: 4,
  /** The content a reader sees does not change (copy-on-read, rebase). */
  UNCHANGED: 8,
  /** Store compressed. */
  COMPRESSED: 16,
} as const;

export type Flags = number;

export interface Limits {
  /** Offsets and lengths of reads and writes must be multiples of this many bytes; default 1. */
  readonly requestAlignment?: number;
  /** Buffers should be aligned to this many bytes in memory; default 1. A driver must cope with less. */
  readonly memoryAlignment?: number;
  /** Longest read or write in bytes; default unlimited. */
  readonly maxTransfer?: number;
  /** Natural size of a request in bytes (a cluster, a stripe). */
  readonly optimalTransfer?: number;
  /** Longest zero request in bytes, and the granularity below which zeroing is done by writing. */
  readonly maxZero?: number;
  readonly zeroAlignment?: number;
  /** Longest discard in bytes, and the granularity to which a discard is shrunk. */
  readonly maxDiscard?: number;
  readonly discardAlignment?: number;
  /**
   * The driver also takes zero and discard requests for a part of one such unit (in whole `requestAlignment`s), apart
   * from those for whole units; it declines what it cannot do by NotSupported. Default false.
   */
  readonly takesParts?: boolean;
}

/** What lies at an offset of one node, without looking at its backing chain. */
export interface Extent {
  /** Bytes for which this answer holds, at most the length asked for. */
  readonly length: number;
  /** This layer decides the content; when false the backing chain (or nothing) does. */
  readonly allocated: boolean;
  /** Space for data is in use. */
  readonly data: boolean;
  /** Reads as zeroes. */
  readonly zero: boolean;
  /** Stored compressed. */
  readonly compressed?: boolean;
  /** Where the data starts in `edge` (or in this very file for a protocol), in bytes. */
  readonly offset?: number;
  /** The child that holds the data at `offset`. */
  readonly edge?: Edge;
  /** The graph should ask `edge` too, at `offset`: what is a hole there reads as zeroes (a preallocated layout). */
  readonly recurse?: boolean;
  /** With `recurse`: this layer has no say of its own, what `edge` shows at `offset` is the whole answer (raw). */
  readonly transparent?: boolean;
}

export type Preallocation = 'off' | 'metadata' | 'falloc' | 'full';

export interface TruncateOptions {
  /** The result must have exactly this size; otherwise larger is fine (a fixed device). Default true. */
  readonly exact?: boolean;
  readonly preallocation?: Preallocation;
  /** New space must read as zeroes even where a shorter backing file would show through. */
  readonly zero?: boolean;
}

/** Where data lies on the host, for kernel-side copies. */
export interface HostExtent {
  readonly file: HostFile;
  readonly offset: number;
}

/** Children of one kind, of which there may be more or fewer (the images of a quorum). */
export interface MembersCapability {
  readonly role: ChildRole;
  /** What the names of their edges begin with. */
  readonly prefix: string;
  /** Name for another one, which is as long as `size` says; throws where it cannot be taken in. */
  nameFor(size: number): string;
  /** Throws where this one cannot be done without. */
  assertRemovable(name: string): void;
  /** Nothing is in flight, and these are the members from now on. */
  changed(edges: readonly Edge[]): void;
}

/** An opened image as a driver gives it to the block layer. */
export interface Image {
  /** Length of the disk in bytes. */
  readonly size: number;
  /** Fill `buf` from `offset`. Never called past `size` rounded up to the request alignment. */
  read(offset: number, buf: Uint8Array): Maybe<void>;
  /** Close own resources; children are closed by the graph afterwards. Metadata is written out here. */
  close(): Promise<void>;

  /** Read into several buffers, one after the other. */
  readv?(offset: number, bufs: readonly Uint8Array[]): Maybe<void>;
  write?(offset: number, buf: Uint8Array, flags: Flags): Maybe<void>;
  /** Write several buffers, one after the other, as one request. */
  writev?(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void>;
  /** Store `buf` compressed at `offset`; whole clusters, or the last partial one. */
  writeCompressed?: ((offset: number, buf: Uint8Array) => Maybe<void>) | undefined;
  /** Make a range read as zeroes. Throws NotSupported where it can only be done by writing. */
  zero?(offset: number, length: number, flags: Flags): Maybe<void>;
  discard?(offset: number, length: number): Maybe<void>;
  /** Everything completed before this call is on stable storage when it ends. */
  flush?(): Maybe<void>;
  /**
   * From now on (or, as often as it was said before, no longer) the space for what is written is taken in the order of
   * the requests, so that those that come later wait where one has to. Default: whoever is ready first is served first.
   */
  layOutInOrder?(on: boolean): void;
  truncate?(size: number, options: TruncateOptions): Promise<void>;
  /** Have what a range shows be held by the topmost layer below, so that no other is needed for it (copy-on-read). */
  prefetch?(offset: number, length: number): Promise<void>;
  /** Forget all content, so that the backing file shows everywhere; only the length of the disk stays. */
  makeEmpty?(): Promise<void>;
  /** `precise` false allows "all data" as a quick answer where finding holes costs time. */
  status?(offset: number, length: number, precise: boolean): Maybe<Extent>;
  /** Copy `length` bytes within the kernel from here to `target`; false when that cannot be done. */
  copyRangeFrom?(offset: number, target: Edge, targetOffset: number, length: number): Maybe<boolean>;
  /** The receiving half: copy from an open host file; false when that cannot be done. */
  copyRangeTo?(offset: number, source: HostExtent, length: number): Maybe<boolean>;

  readonly limits?: Limits;
  /** Which of {@link Flag} write and zero understand; the layer above emulates FUA by flush. Default none. */
  readonly writeFlags?: Flags;
  readonly zeroFlags?: Flags;
  /** New space made by growing, and never-written areas, read as zeroes (default true for formats). */
  readonly readsZeroWhenFresh?: boolean;

  /** Bytes this image takes on the host: its own file, without backing. */
  allocatedSize?(): Maybe<number>;
  /** What the user sees in `info`, and what jobs need to know of clusters. */
  info?(): Maybe<ImageInfo>;
  readonly check?: CheckCapability;
  /** A number of 8 bytes that is another one whenever the image has been changed. */
  readonly generation?: GenerationCapability;
  readonly amend?: AmendCapability;
  /** Internal snapshots. */
  readonly snapshots?: SnapshotCapability;
  readonly backing?: BackingCapability;
  /** Children that come and go while it is open. */
  readonly members?: MembersCapability;
  /** Dirty bitmaps kept in the image. */
  readonly bitmaps?: BitmapStore | undefined;
  /** Take or give back locks as the cumulative permissions of this node change. */
  readonly permissions?: PermissionCapability;
  /**
   * What is needed of a child and shared, where that differs from the `usual` for its role; `users` is what
   * the users of this node need and share.
   */
  childPermissions?(name: string, users: UserPermissions, usual: PermPair): PermPair;
  /** Something above has come to a point of its work; a promise holds it there. Filters pass it on. */
  readonly event?: ((name: BlockEvent) => Maybe<void>) | undefined;
  /** Of a fault injector: requests held at events, and requests with a name. */
  readonly breakpoints?: BreakpointCapability;
  readonly labels?: LabelCapability;
  /** Whether somebody waits for all requests here to end: what holds them back for long lets them go meanwhile. */
  hurry?(on: boolean): void;
  /** Prepare other options on a running image; commit or abort follows. */
  readonly reopen?: ReopenCapability;
  /** Forget cached metadata, e.g. after a change of owner. */
  invalidate?(): Promise<void>;
  /** Of a filter that keeps the disk as it was: that state, for others to read and to copy. */
  readonly pointInTime?: PointInTimeCapability;
  /** How a copy should treat the page cache of what it reads; absent where there is none. */
  readonly pageCache?: PageCacheCapability | undefined;
  /** The state of a suspended machine, kept beside the disk; its offsets are its own, in whole sectors. */
  readonly vmState?: VmStateCapability;
  /** Block size and geometry of a device below. */
  readonly blockSizes?: { readonly logical: number; readonly physical: number } | undefined;
  readonly geometry?: { readonly cylinders: number; readonly heads: number; readonly sectors: number } | undefined;
}

export interface VmStateCapability {
  read(offset: number, buf: Uint8Array): Maybe<void>;
  write(offset: number, buf: Uint8Array): Maybe<void>;
}

export interface BackingCapability {
  /** The name and format written in the header, if any. */
  readonly fileName: string | undefined;
  readonly format: string | undefined;
  /** Rewrite them on disk; undefined removes the reference. */
  change?(fileName: string | undefined, format: string | undefined): Promise<void>;
  /** Throws what `change` would for this name, for those who work long before they come to it. */
  assertFits?(fileName: string | undefined): void;
  /** From now on the content comes from this child where the image has none; the graph has linked it already. */
  linked?(backing: Edge | undefined): void;
  /** What was recorded of the backing file (`graph/fingerprint.ts`). */
  readonly fingerprint?: Uint8Array | undefined;
  /** The image holds nothing of its own: it shows what the backing file shows, everywhere. */
  readonly isEmpty?: boolean;
  /** Record it on disk; left out where there is no room. */
  record?(fingerprint: Uint8Array | undefined): Promise<void>;
}

export interface GenerationCapability {
  /** Undefined where the image has none so far. */
  readonly value: Uint8Array | undefined;
  /** Give it one, if there is room. */
  start(): Promise<void>;
}

export interface PermissionCapability {
  /** Check and take what is new; throws with nothing changed. */
  prepare(perm: PermMask, shared: PermMask): void;
  commit(): void;
  abort(): void;
}

export interface ReopenCapability {
  prepare(
    options: Options,
    modes: OpenModes,
  ): Promise<{ commit(): Promise<void> | void; abort(): Promise<void> | void }>;
}

/** The node options that every driver shares, resolved: what the node was told, or inherits from its parent. */
export interface OpenModes {
  readonly readOnly: boolean;
  /** No data will be read or written: only the header is looked at (no secrets, no permissions needed). */
  readonly noIo: boolean;
  /** Bypass the page cache (cache.direct). */
  readonly direct: boolean;
  /** Ignore flushes (cache.no-flush). */
  readonly noFlush: boolean;
  /** Pass discards on (discard=unmap). */
  readonly unmap: boolean;
  /** Take no locks and share everything; read-only nodes only. */
  readonly forceShare: boolean;
  /** Opened for check: dirty and corrupt images are let through, and nothing is read that the check reads itself. */
  readonly forRepair: boolean;
}

/** Roles of a child edge; they decide how permissions translate (`graph/permissions.ts`). */
export type ChildRole = 'filtered' | 'cow' | 'metadata' | 'data' | 'metadata+data';

/** What a child is opened from when the user named nothing: a request of the image, decided by policy. */
export interface ChildRequest {
  /** Edge name: file, backing, data-file, … */
  readonly name: string;
  readonly role: ChildRole;
  /** A name found in an image header; relative names resolve against the directory of the parent. */
  readonly fileName?: string;
  /** Driver found in an image header; probed when absent. */
  readonly driver?: string;
  /** When false, a protocol is opened without probing for a format. */
  readonly probe?: boolean;
  readonly readOnly?: boolean;
}

/** What `open` of a driver receives. */
export interface OpenContext<O extends Options = Options> {
  readonly options: O;
  readonly modes: OpenModes;
  readonly nodeName: string;
  /** The name a user knows the node by, for messages. */
  readonly fileName: string;
  /** Resources taken while opening; closed again by the graph when `open` throws. */
  readonly closer: Closer;
  /** A child that was opened before the driver: `file` of formats and filters. */
  child(name: string): Edge;
  /**
   * Open a further child. The user's option of that name (a node-name, options, or null for none) wins over
   * the request. Returns undefined when there is to be none; throws when the policy on references forbids it.
   */
  openChild(request: ChildRequest): Promise<Edge | undefined>;
  /** The bits of a bitmap of another node; throws ENOENT where there is none, and where it cannot be used. */
  dirtyBitmap(node: string, name: string): DirtyBitmap;
  /** The driver was guessed from the content, not named by anybody. */
  readonly probed: boolean;
  /** The format that `head`, the first bytes of a disk, looks like; undefined for none but raw. */
  sniff(head: Uint8Array): string | undefined;
  /** A line for the user that is no error. */
  warn(message: string): void;
  /** A line for the user as it stands: one of several about the same thing. */
  note(line: string): void;
  /** Tell whoever watches that the image, while in use, proved damaged. */
  damaged(damage: Damage): void;
  /** Aborted when nobody waits any longer for the image to open. */
  readonly signal?: AbortSignal;
  /** What a user has defined under this id; the node holds on to it. Throws ENOENT for an unknown one. */
  object<K extends ObjectKind>(kind: K, id: string): ObjectKinds[K];
}

/** Children that the graph opens before the driver, from the option of the same name. */
export interface ChildSlot {
  readonly name: string;
  readonly role: ChildRole;
  /** The child may be any node (a filter over a format); when false, a bare file name means a protocol. */
  readonly anyNode?: boolean;
  /** An option that holds just the file name of the child, for older spellings. */
  readonly nameOption?: string;
  /** Opened by the driver itself with `openChild`, not before it. */
  readonly lazy?: boolean;
}

export interface Driver<O extends Options = Options> {
  readonly name: string;
  readonly kind: 'format' | 'protocol' | 'filter';
  /** Runtime options of the node; the common ones (node-name, read-only, cache.*, …) are added by the graph. */
  readonly options: OptionSchema<O>;
  /** Default: formats and filters have `file`, protocols none. */
  readonly slots?: readonly ChildSlot[];
  /** 0–100: how sure this driver is that `head` (the first bytes of a file of `size` bytes) is its format. */
  probe?(head: Uint8Array, file: { readonly name: string; readonly size: number }): number;
  /** Schemes and prefixes of file names that lead here: `nbd` for `nbd:` and `nbd://`. */
  readonly schemes?: readonly string[];
  /** Options for a file name with such a scheme, or for a plain path on the default protocol. */
  parseFileName?(name: string): Record<string, unknown>;
  /**
   * The one name that says the same as these options; undefined where there is none. `childName` gives the plain
   * name of a child of a filter.
   */
  nameFor?(options: O, childName: (edge: string) => string | undefined): string | undefined;
  /** Runtime options that decide what data is seen; they go into a `json:` file name. */
  readonly strongOptions?: readonly string[];
  /** Ready image, or throws with everything it took closed (push to `context.closer` while acquiring). */
  open(context: OpenContext<O>): Promise<Image>;
  readonly create?: CreateCapability;
  /** Options of `amend`, under their command-line names, without defaults; its images then have {@link Image.amend}. */
  readonly amendOptions?: OptionSchema;
  /** What `info().specific.data` of its images holds, for the control socket's schema. */
  readonly infoFields?: Fields;
  /** It writes a file that its options name: none that an image asks for. */
  readonly writesFiles?: boolean;
  /** A read-write open may end read-only instead (`auto-read-only`). */
  readonly readOnly?: boolean;
}

/** How the block layer finds drivers: one list, each loaded when first used. */
export interface DriverList {
  /** What is known of a driver without loading it: enough to decide whether to load it. */
  readonly entries: readonly DriverEntry[];
  /** The protocol driver for a plain path: a device or a file. */
  protocolForPath(path: string): string;
}

export interface DriverEntry {
  readonly name: string;
  readonly kind: Driver['kind'];
  readonly schemes?: readonly string[];
  /** Quick sniff so that only likely drivers are loaded when probing; absent means "never probed". */
  readonly magic?: (head: Uint8Array, file: { readonly name: string; readonly size: number }) => boolean;
  readonly load: () => Promise<Driver>;
  /** Can `convert -O` and `create -f` make it. */
  readonly creatable?: boolean;
}
