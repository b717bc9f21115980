/**
 * The operations table: what each operation takes on each part of the chain it works on. Whether two may
 * run at once follows from these rows through the permission system, and from nothing else.
 */
import { Perm, type PermMask } from '../permissions-bits.ts';

const { CONSISTENT_READ: R, WRITE: W, WRITE_UNCHANGED: U, RESIZE: Z, ALL } = Perm;

export interface OperationPart {
  readonly perm: PermMask;
  readonly shared: PermMask;
  /** See {@link PermPair}. */
  readonly sharedBelow?: PermMask;
}

/** A row: parts of the chain by name, each with what the operation needs there and shares. */
export type OperationRow = Readonly<Record<string, OperationPart>>;

export const operations = {
  /** A command that only looks. */
  read: { image: { perm: R, shared: ALL } },
  /** Reading that wants the content to hold still. */
  'read-stable': { image: { perm: R, shared: R | U } },
  /** A command that reads and writes. */
  write: { image: { perm: R | W, shared: ALL } },
  resize: { image: { perm: R | W | Z, shared: ALL } },
  /** Internal snapshots: the content stays, but for going back to one. */
  'snapshot-create': { image: { perm: R | U, shared: ALL } },
  'snapshot-apply': { image: { perm: R | W | Z, shared: ALL } },
  'snapshot-remove': { image: { perm: U, shared: ALL } },
  /** Bitmaps change, the disk does not. */
  'change-bitmaps': { image: { perm: 0, shared: R | U } },
  /** Looking at headers only. */
  inspect: { image: { perm: 0, shared: ALL } },
  /** The driver itself holds off others while it changes what must not be seen half changed. */
  amend: { image: { perm: R | W | Z, shared: ALL } },
  create: { target: { perm: W | Z, shared: ALL } },
  mirror: {
    source: { perm: R, shared: R | U },
    target: { perm: W | Z, shared: U },
  },
  /** Serving to others: nobody may resize what they were told the size of. */
  export: { image: { perm: R, shared: R | W | U } },
  'export-writable': { image: { perm: R | W, shared: R | W | U } },
  /** Under use: through a filter on top of the source, which is what other users see. */
  'mirror-live': {
    main: { perm: R, shared: R | W | U },
    source: { perm: 0, shared: R | W | U },
    target: { perm: W, shared: U },
  },
  /** Into a layer below, while the disk is used: the layers in between make no sense by themselves meanwhile. */
  'commit-active': {
    main: { perm: R, shared: R | W | U },
    source: { perm: 0, shared: R | W | U },
    intermediate: { perm: 0, shared: U, sharedBelow: W | U },
    target: { perm: W, shared: R | W | U },
  },
  /** From one layer below the active one into another. */
  commit: {
    main: { perm: 0, shared: ALL },
    source: { perm: 0, shared: U, sharedBelow: W | U },
    intermediate: { perm: 0, shared: U, sharedBelow: W | U },
    target: { perm: R | W, shared: R | U },
  },
  /** Into a layer, from those below it. */
  stream: {
    main: { perm: R, shared: R | W | U },
    active: { perm: 0, shared: R | W | U },
    intermediate: { perm: 0, shared: R | U },
  },
  /** The backing file of an image nobody else uses is changed. */
  rebase: {
    image: { perm: R | W | U, shared: R | U },
    backing: { perm: R, shared: ALL },
  },
  /** The filter that a backup puts in reads and writes for it, also where nobody else uses the disk. */
  backup: {
    main: { perm: 0, shared: R | W | U },
    source: { perm: 0, shared: R | W | U },
    target: { perm: 0, shared: R | W | U },
  },
} as const satisfies Record<string, OperationRow>;

export type OperationName = keyof typeof operations;
