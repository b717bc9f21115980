/** Internal snapshots of an image, and how users name one of them. */
import { BlockError, NotSupported } from '../errors/block-error.ts';
import type { Image } from './driver.ts';
import type { SnapshotInfo } from './image-info.ts';

/** What a new snapshot is called and says of the machine; the disk as it is goes in by itself. */
export interface NewSnapshot {
  readonly name: string;
  /** Bytes of machine state written beforehand; default 0. */
  readonly vmStateSize?: number;
  /** Default: now. */
  readonly date?: SnapshotInfo['date'];
  readonly vmClock?: SnapshotInfo['vmClock'];
  readonly icount?: number;
}

/**
 * Whoever calls `create`, `apply` or `remove` has drained the node: no request is in flight and none comes in until
 * they end (`graph/snapshot-operations.ts`). They fail with the image as it was, and are safe against a crash at any
 * moment: the image is then as before or as after.
 */
export interface SnapshotCapability {
  list(): readonly SnapshotInfo[];
  /** Throws NotSupported where the image cannot have snapshots; EFBIG beyond a limit of the format. */
  create(snapshot: NewSnapshot): Promise<SnapshotInfo>;
  /** Make the disk what it was; what it is now is lost unless another snapshot has it. The length may change. */
  apply(snapshot: SnapshotInfo): Promise<void>;
  /** Throws EBUSY while a view of it is open. */
  remove(snapshot: SnapshotInfo): Promise<void>;
  /** The disk as it was, to be read, also while the image is in use. Closing it closes nothing else. */
  view(snapshot: SnapshotInfo): Promise<Image>;
  /** Bytes of the file that each snapshot alone holds, in the order of the list: what removing it would free. */
  ownBytes(): Promise<readonly number[]>;
}

/** Both have to match where both are given. */
export interface SnapshotSelector {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
}

/** A word stands for an id or a name; where it is one of each, this comes first. */
export type WordMeans = 'id-first' | 'name-first';

export function selectSnapshot(
  list: readonly SnapshotInfo[],
  { id, name }: SnapshotSelector,
): SnapshotInfo | undefined {
  if (id === undefined && name === undefined) return undefined;
  return list.find((each) => (id === undefined || each.id === id) && (name === undefined || each.name === name));
}

export function snapshotOfWord(
  list: readonly SnapshotInfo[],
  word: string,
  means: WordMeans = 'id-first',
): SnapshotInfo | undefined {
  const byId = list.find((each) => each.id === word);
  const byName = list.find((each) => each.name === word);
  return means === 'id-first' ? (byId ?? byName) : (byName ?? byId);
}

/** A snapshot by word or selector; throws ENOENT naming what was looked for. */
export function findSnapshot(
  list: readonly SnapshotInfo[],
  wanted: string | SnapshotSelector,
  context: { readonly fileName: string; readonly means?: WordMeans },
): SnapshotInfo {
  const found = typeof wanted === 'string' ? snapshotOfWord(list, wanted, context.means) : selectSnapshot(list, wanted);
  if (found) return found;
  const words = typeof wanted === 'string' ? `'${wanted}'` : selectorText(wanted);
  throw new BlockError(`there is no snapshot ${words} in '${context.fileName}'`, { code: 'ENOENT' });
}

function selectorText({ id, name }: SnapshotSelector): string {
  const parts = [...(id === undefined ? [] : [`with id '${id}'`]), ...(name === undefined ? [] : [`named '${name}'`])];
  return parts.join(' and ');
}

/** The error for an image whose format has none. */
export function noSnapshots({ fileName, driver }: { fileName: string; driver: { name: string } }): NotSupported {
  return new NotSupported(`'${fileName}' cannot have snapshots: the format '${driver.name}' has none`);
}

/** The error for going back to a snapshot of a disk whose changes are recorded. */
export function bitmapsInTheWay(fileName: string): BlockError {
  return new BlockError(`'${fileName}' has bitmaps, which would not tell of the change that a snapshot brings`, {
    code: 'EBUSY',
    hint: 'Remove them first, with img bitmap --remove',
  });
}
