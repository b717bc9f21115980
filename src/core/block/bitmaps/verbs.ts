/**
 * What users do with named bitmaps. Each checks first and throws with nothing changed; what it did can be undone with
 * the function it returns, for who does several things or none. A bitmap that is kept in the image is marked there as
 * in use before it changes.
 */
import { DirtyBitmap as Bits, defaultGranularity } from '../../bitmap/index.ts';
import { BlockError } from '../../errors/block-error.ts';
import { infoOf } from '../graph/image-info.ts';
import type { Node } from '../graph/node.ts';
import { refreshPermissions } from '../graph/permissions.ts';
import { transact } from '../graph/transaction.ts';
import type { NamedBitmap } from './named-bitmap.ts';

export type Undo = () => Promise<void> | void;

export interface NewBitmap {
  /** Bytes; by default the cluster size between 4 and 64 KiB. */
  readonly granularity?: number | undefined;
  /** Keep it in the image. */
  readonly persistent?: boolean;
  /** Record from the start; default true. */
  readonly recording?: boolean;
}

/**
 * A bitmap begins or ends to record: with one that does, nobody may write past the node to what is below. Throws where
 * somebody does.
 */
function recordingChanged(node: Node): void {
  transact((transaction) => refreshPermissions(transaction, [node]));
}

export async function addBitmap(node: Node, name: string, options: NewBitmap = {}): Promise<Undo> {
  const { bitmaps } = node.io;
  const { persistent = false, recording = true } = options;
  const granularity = options.granularity ?? defaultGranularity((await infoOf(node))?.clusterSize);
  bitmaps.assertRoom(name, granularity, persistent);
  const bits = new Bits(node.io.size, granularity);
  const bitmap = bitmaps.insert({ name, bits, persistent, recording });
  const undo = (): void => {
    bitmaps.drop(bitmap);
    recordingChanged(node);
  };
  try {
    recordingChanged(node);
  } catch (error) {
    undo();
    throw error;
  }
  return undo;
}

/** Also one that is inconsistent; it is taken out of the image too. */
export async function removeBitmap(node: Node, name: string): Promise<Undo> {
  const { bitmaps } = node.io;
  const bitmap = bitmaps.get(name);
  bitmap.assertUsable({ inconsistent: true });
  await bitmaps.removeStored(bitmap);
  bitmaps.drop(bitmap);
  recordingChanged(node);
  const { bits, persistent, recording, inconsistent } = bitmap;
  return () => {
    bitmaps.insert({ name, bits, persistent, recording, inconsistent });
    recordingChanged(node);
  };
}

export async function clearBitmap(node: Node, name: string): Promise<Undo> {
  const bitmap = node.io.bitmaps.get(name);
  bitmap.assertUsable();
  await node.io.bitmaps.beginChange([bitmap]);
  const before = bitmap.bits;
  bitmap.bits = new Bits(before.size, before.granularity);
  return () => {
    before.merge(bitmap.bits);
    bitmap.bits = before;
  };
}

export function enableBitmap(node: Node, name: string): Promise<Undo> {
  return setRecording(node, name, true);
}

export function disableBitmap(node: Node, name: string): Promise<Undo> {
  return setRecording(node, name, false);
}

async function setRecording(node: Node, name: string, on: boolean): Promise<Undo> {
  const bitmap = node.io.bitmaps.get(name);
  bitmap.assertUsable();
  const before = bitmap.recording;
  if (before === on) return () => undefined;
  await node.io.bitmaps.beginChange([bitmap]);
  const set = (recording: boolean): void => {
    bitmap.recording = recording;
    recordingChanged(node);
  };
  try {
    set(on);
  } catch (error) {
    set(before);
    throw error;
  }
  return () => set(before);
}

/** A bitmap to be merged: of that node, by its name. */
export interface BitmapPlace {
  readonly node: Node;
  readonly name: string;
}

/** Add what is dirty in `sources` to the bitmap `name` of `node`. */
export async function mergeBitmaps(node: Node, name: string, sources: readonly BitmapPlace[]): Promise<Undo> {
  const target = node.io.bitmaps.get(name);
  const from = mergeable(target, sources);
  await node.io.bitmaps.beginChange([target]);
  const before = target.bits.clone();
  for (const source of from) target.bits.merge(source.bits);
  const { marked } = node.io.bitmaps;
  return () => {
    // What has been written meanwhile cannot be told from what was merged: dirty too much is right, too little is not.
    if (target.recording && node.io.bitmaps.marked !== marked) return;
    target.bits = before;
  };
}

/** The bitmaps of `sources`, when they can be merged into `target`; throws otherwise. */
export function mergeable(target: NamedBitmap, sources: readonly BitmapPlace[]): NamedBitmap[] {
  target.assertUsable();
  return sources.map(({ node, name }) => {
    const source = node.io.bitmaps.get(name);
    source.assertUsable({ readOnly: true });
    if (source.bits.size === target.bits.size) return source;
    throw new BlockError(
      `bitmap '${name}' is of a disk of ${source.bits.size} bytes, bitmap '${target.name}' of one of ${target.bits.size}`,
    );
  });
}

/** The bits of a bitmap that somebody is going to read. */
export function usableBits(node: Node, name: string): Bits {
  const bitmap = node.io.bitmaps.get(name);
  bitmap.assertUsable({ readOnly: true });
  return bitmap.bits;
}

export function bitmapSha256(node: Node, name: string): string {
  return node.io.bitmaps.get(name).bits.sha256();
}
