/**
 * What there is to know of one image, under the names of the control socket's schema. Made for `info`,
 * and for every face that describes a node.
 */
import type { SnapshotInfo } from '../driver.ts';
import { displayName, resolveName } from './file-name.ts';
import type { Node } from './node.ts';

/** The fields stand in the order in which they are printed; absent where they do not apply. */
export interface ImageDescription {
  readonly 'backing-filename-format'?: string;
  readonly snapshots?: readonly SnapshotDescription[];
  /** Bytes of the disk. */
  readonly 'virtual-size': number;
  readonly filename: string;
  readonly 'cluster-size'?: number;
  readonly format: string;
  /** Bytes taken on the host, without the backing file; absent when not known. */
  readonly 'actual-size'?: number;
  readonly 'format-specific'?: { readonly type: string; readonly data: Readonly<Record<string, unknown>> };
  /** With the directory of the image applied; absent when it cannot be. */
  readonly 'full-backing-filename'?: string;
  readonly encrypted?: true;
  /** As the header has it. */
  readonly 'backing-filename'?: string;
  readonly compressed?: true;
  readonly 'dirty-flag': boolean;
}

export interface SnapshotDescription {
  readonly icount?: number;
  readonly 'vm-clock-nsec': number;
  readonly name: string;
  readonly 'date-sec': number;
  readonly 'date-nsec': number;
  readonly 'vm-clock-sec': number;
  readonly id: string;
  /** Bytes of saved machine state. */
  readonly 'vm-state-size': number;
}

/** Describe an open image by itself: nothing further is opened. */
export async function describeImage(node: Node): Promise<ImageDescription> {
  const { backing } = node.image;
  const info = (await infoOf(node)) ?? {};
  const actual = await allocatedSize(node);
  const name = backing?.fileName;
  const full = name === undefined ? undefined : fullName(node, name);
  return {
    ...(name !== undefined && backing?.format !== undefined ? { 'backing-filename-format': backing.format } : {}),
    ...(info.snapshots?.length ? { snapshots: info.snapshots.map(describeSnapshot) } : {}),
    'virtual-size': node.io.size,
    filename: displayName(node),
    ...(info.clusterSize ? { 'cluster-size': info.clusterSize } : {}),
    format: node.driver.name,
    ...(actual === undefined ? {} : { 'actual-size': actual }),
    ...(info.specific ? { 'format-specific': info.specific } : {}),
    ...(full === undefined ? {} : { 'full-backing-filename': full }),
    ...(info.encrypted ? { encrypted: true } : {}),
    ...(name === undefined ? {} : { 'backing-filename': name }),
    ...(info.compressed ? { compressed: true } : {}),
    'dirty-flag': info.dirty ?? false,
  };
}

/** A driver that only passes its child on has nothing to say itself: the child speaks for it. */
export function infoOf(node: Node): ReturnType<NonNullable<Node['image']['info']>> | undefined {
  let from: Node | undefined = node;
  while (from && !from.image.info) from = from.filtered?.node;
  return from?.image.info?.();
}

/** Bytes that a node takes on the host: its own count, or that of its children but for the backing file. */
async function allocatedSize(node: Node): Promise<number | undefined> {
  if (node.image.allocatedSize) return node.image.allocatedSize();
  let total: number | undefined;
  for (const edge of node.children.values()) {
    if (edge.role === 'cow') continue;
    const part = await allocatedSize(edge.node);
    if (part === undefined) return undefined;
    total = (total ?? 0) + part;
  }
  return total;
}

function fullName(node: Node, name: string): string | undefined {
  try {
    return resolveName(node.fileName, name);
  } catch {
    return undefined; // relative to something that has no directory
  }
}

export function describeSnapshot(snapshot: SnapshotInfo): SnapshotDescription {
  return {
    ...(snapshot.icount === undefined ? {} : { icount: snapshot.icount }),
    'vm-clock-nsec': snapshot.vmClock.nsec,
    name: snapshot.name,
    'date-sec': snapshot.date.sec,
    'date-nsec': snapshot.date.nsec,
    'vm-clock-sec': snapshot.vmClock.sec,
    id: snapshot.id,
    'vm-state-size': snapshot.vmStateSize,
  };
}
