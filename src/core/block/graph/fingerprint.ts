/**
 * The fingerprint of a backing file: what an overlay records of it, so that a change of the base behind its back is seen
 * when the overlay is opened. The bytes, big-endian, are described in docs/base-fingerprint.md.
 */

import fs from 'node:fs';
// Node's own takes ten milliseconds to load: too long for the hash of a name.
import { sha256 } from '@noble/hashes/sha2.js';
import { BlockError } from '../../errors/block-error.ts';
import type { GraphSettings } from './block-graph.ts';
import { localPath, resolveName } from './file-name.ts';
import type { Node } from './node.ts';
import { chainStatus } from './status.ts';

const VERSION = 1;
const HAS_GENERATION = 1;
const BYTES = 48;
/** Where the hash of the name is. */
const NAME_HASH = 40;

/** What is recorded of the base that `overlay` names; undefined where that is no regular file or cannot be looked at. */
export function fingerprintOf(overlay: string, name: string, generation: Uint8Array | undefined): Buffer | undefined {
  const data = stateOf(overlay, name, generation);
  data?.set(hashOf(name), NAME_HASH);
  return data;
}

/** The same but for the name. */
function stateOf(overlay: string, name: string, generation: Uint8Array | undefined): Buffer | undefined {
  const stat = statOf(overlay, name);
  if (!stat) return undefined;
  const data = Buffer.alloc(BYTES);
  data.writeUInt32BE(VERSION, 0);
  data.writeUInt32BE(generation ? HAS_GENERATION : 0, 4);
  data.writeBigUInt64BE(stat.size, 8);
  data.writeBigInt64BE(stat.mtimeNs / BILLION, 16);
  data.writeUInt32BE(Number(stat.mtimeNs % BILLION), 24);
  if (generation) data.set(generation.subarray(0, 8), 32);
  return data;
}

function hashOf(name: string): Buffer {
  return Buffer.from(sha256(Buffer.from(name)).subarray(0, BYTES - NAME_HASH));
}

const BILLION = 1_000_000_000n;

function statOf(overlay: string, name: string): fs.BigIntStats | undefined {
  try {
    const path = localPath(resolveName(overlay, name));
    const stat = path === undefined ? undefined : fs.statSync(path, { bigint: true, throwIfNoEntry: false });
    return stat?.isFile() && stat.mtimeNs >= 0n ? stat : undefined;
  } catch {
    return undefined;
  }
}

interface Change {
  /** What is different, in words. */
  readonly what: string;
  /** Its disk is another one; a file gets another length and time by what has nothing to do with the disk, too. */
  readonly certain: boolean;
}

/** What is different of the base of `node` from what it recorded; undefined when nothing is, or nothing is recorded. */
export function changeOfBase(node: Node): Change | undefined {
  const { backing } = node.image;
  const recorded = backing?.fingerprint;
  const base = node.backing?.node;
  if (!recorded || !base || backing?.fileName === undefined || node.backingOverridden) return undefined;
  const was = Buffer.from(recorded.buffer, recorded.byteOffset, recorded.length);
  if (was.length < BYTES || was.readUInt32BE(0) !== VERSION) return undefined;
  const now = stateOf(node.fileName, backing.fileName, base.image.generation?.value);
  if (!now || same(was, now, 4, NAME_HASH)) return undefined;
  // Another program has named another file since: nothing is known of that one.
  if (!was.subarray(NAME_HASH, BYTES).equals(hashOf(backing.fileName))) return undefined;
  if (!same(was, now, 32, 40) || !same(was, now, 4, 8)) return { what: 'it was written to', certain: true };
  if (!same(was, now, 8, 16)) {
    const what = `its size was ${was.readBigUInt64BE(8)} bytes and is ${now.readBigUInt64BE(8)}`;
    return { what, certain: base.layer.driver.name === 'raw' };
  }
  if (same(was, now, 16, 28)) return undefined;
  return { what: `it was last modified at ${timeOf(now)}, not at ${timeOf(was)}`, certain: false };
}

function same(a: Buffer, b: Buffer, from: number, to: number): boolean {
  return a.subarray(from, to).equals(b.subarray(from, to));
}

function timeOf(data: Buffer): string {
  const seconds = Number(data.readBigInt64BE(16));
  const date = new Date(seconds * 1000);
  const text = Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString().slice(0, 19);
  return `${text}.${String(data.readUInt32BE(24)).padStart(9, '0')}`;
}

/** Whether anything of its base is to be seen through an image, which is looked at as far as the first such place. */
async function showsBase(node: Node): Promise<boolean> {
  const base = node.backing?.node;
  const end = Math.min(node.io.size, base?.io.size ?? 0);
  try {
    for (let offset = 0; offset < end; ) {
      const { allocated, length } = await chainStatus(node, base, { offset, length: end - offset });
      if (!allocated || length === 0) return true;
      offset += length;
    }
    return false;
  } catch {
    // It is told of to whoever reads there.
    return true;
  }
}

/**
 * Tell or refuse, as the graph is set, that the base of an image has changed since it was recorded. What holds nothing
 * of its own cannot have become wrong: it records the base as it is now, where it can be written to. Nor can what holds
 * everything.
 */
export async function checkBase(node: Node, policy: Pick<GraphSettings, 'changedBase' | 'warn'>): Promise<void> {
  const change = changeOfBase(node);
  if (change === undefined) return;
  const { backing } = node.image;
  if (backing?.isEmpty) {
    if (node.modes.readOnly || backing.fileName === undefined) return;
    const generation = node.backing?.node.image.generation?.value;
    await backing.record?.(fingerprintOf(node.fileName, backing.fileName, generation));
    return;
  }
  if (policy.changedBase === 'warn-certain' && !change.certain) return;
  if (!(await showsBase(node))) return;
  const name = node.image.backing?.fileName ?? '';
  const changed = `${change.certain ? 'has' : 'may have'} changed since the image was made on it: ${change.what}`;
  const message = `the backing file '${name}' of '${node.fileName}' ${changed}`;
  if (policy.changedBase !== 'refuse') {
    policy.warn(message);
    return;
  }
  throw new BlockError(message, {
    code: 'EINVAL',
    hint: 'What the image shows may make no sense any more. If it does, img rebase -u with the same name records the base as it is',
  });
}
