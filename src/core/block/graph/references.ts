/**
 * Which further files an image may cause to be opened. A name inside a header is a request: the policy
 * decides, and a refusal says what the image asked for.
 */
import fs from 'node:fs';
import path from 'node:path';
import { BlockError } from '../../errors/block-error.ts';
import { hasProtocol } from './file-name.ts';

/** none: nothing; same-dir: plain files in the directory of the image or below it; all: anything. */
export type ReferencePolicy = 'none' | 'same-dir' | 'all';

export const referencePolicies = ['none', 'same-dir', 'all'] as const;

export interface ImageReference {
  /** The image that names the other file. */
  readonly image: string;
  /** backing, data-file, … */
  readonly role: string;
  /** As written in the image. */
  readonly name: string;
  /** With the directory of the image applied. */
  readonly resolved: string;
}

/** Throws unless `policy` lets `reference` be opened. */
export function assertReferenceAllowed(policy: ReferencePolicy, reference: ImageReference): void {
  if (policy === 'all') return;
  if (policy === 'same-dir' && isBeside(reference)) return;
  throw new BlockError(
    `'${reference.image}' asks for ${reference.role} '${reference.name}', which --refs=${policy} does not allow`,
    { code: 'EPERM', hint: 'Use --refs=all if you trust the image', data: { ...reference, policy } },
  );
}

function isBeside(reference: ImageReference): boolean {
  if (hasProtocol(reference.resolved) || hasProtocol(reference.name)) return false;
  try {
    const home = path.dirname(fs.realpathSync(reference.image));
    const target = fs.realpathSync(reference.resolved);
    const relative = path.relative(home, target);
    const isOutside = relative === '..' || relative.startsWith('../') || path.isAbsolute(relative);
    return !isOutside && fs.statSync(target).isFile();
  } catch {
    // A missing file is refused here too: whether it exists is no business of the image.
    return false;
  }
}
