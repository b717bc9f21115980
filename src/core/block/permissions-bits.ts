/** Permission bits of an edge; the numbers are also the offsets of the lock bytes on a host file. */
export const Perm = {
  /** Reads see the disk as one consistent whole. */
  CONSISTENT_READ: 1,
  /** May change visible content. */
  WRITE: 2,
  /** May write data that leaves the content as it is. */
  WRITE_UNCHANGED: 4,
  /** May change the length. */
  RESIZE: 8,
  ALL: 15,
} as const;

export type PermMask = number;

/** What somebody needs of a node, and what others may have beside it. */
export interface PermPair {
  readonly perm: PermMask;
  readonly shared: PermMask;
  /**
   * What others may have of the backing files below it; default `shared`, since what is written there may show through.
   * A commit writes to a layer below what the layers above it hide anyway: that is fine where another writer is not.
   */
  readonly sharedBelow?: PermMask;
}

/** What all users of a node need and share together. */
export interface UserPermissions extends Required<PermPair> {
  /** There is none: a filter that is about to be put under the users of what it filters must not be in their way. */
  readonly unused: boolean;
}

const NAMES: readonly [number, string][] = [
  [Perm.CONSISTENT_READ, 'consistent read'],
  [Perm.WRITE, 'write'],
  [Perm.WRITE_UNCHANGED, 'write unchanged'],
  [Perm.RESIZE, 'resize'],
];

/** The bits in words, comma separated, for messages. */
export function permNames(mask: PermMask): string {
  return NAMES.filter(([bit]) => (mask & bit) !== 0)
    .map(([, name]) => name)
    .join(', ');
}
