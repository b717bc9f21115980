/** What may be bad about an image that somebody else has made, each with a code for programs. */
import path from 'node:path';
import type { CheckResult } from '../../block/driver.ts';
import { hasProtocol } from '../../block/graph/file-name.ts';
import type { ImageDescription } from '../../block/graph/image-info.ts';
import type { BlockError } from '../../errors/block-error.ts';
import { packed } from './signatures.ts';

export const riskCodes = [
  'invalid',
  'several-formats',
  'packed',
  'names-another-file',
  'name-with-protocol',
  'name-outside-folder',
  'backing-format-missing',
  'corrupt',
  'errors',
  'leaks',
  'dirty',
  'encrypted',
  'size-over-limit',
  'size-out-of-proportion',
] as const;
export type RiskCode = (typeof riskCodes)[number];

export interface Risk {
  readonly code: RiskCode;
  /** One line, without a period. */
  readonly text: string;
}

/** A file that the image names. */
export interface Reference {
  readonly role: 'backing' | 'data-file';
  readonly name: string;
  readonly format?: string;
}

export interface ImageFacts {
  readonly path: string;
  readonly fileSize: number;
  readonly formats: readonly string[];
  readonly references: readonly Reference[];
  readonly image?: ImageDescription;
  readonly check?: CheckResult;
  /** Why it cannot be opened. */
  readonly problem?: BlockError;
}

export interface RiskLimits {
  readonly untrusted: boolean;
  readonly maxSize?: number | undefined;
}

/** How much longer than its file the disk of an honest image may be, and still be of no interest below this size. */
const PROPORTION = 2 ** 20;
const MODEST_SIZE = 2 ** 43;

export function risksOf(facts: ImageFacts, limits: RiskLimits): Risk[] {
  const { problem } = facts;
  return [
    ...(problem ? [{ code: 'invalid', text: problem.message } as const] : []),
    ...formatRisks(facts),
    ...facts.references.flatMap((reference) => referenceRisks(reference, facts.path, limits)),
    ...stateRisks(facts),
    ...sizeRisks(facts, limits),
  ];
}

function formatRisks({ formats, image }: ImageFacts): Risk[] {
  const risks: Risk[] = [];
  // A raw disk may well begin with what is a mark in its first file system.
  const seen = new Set([...formats, ...(image && image.format !== 'raw' ? [image.format] : [])]);
  if (seen.size > 1) {
    risks.push({ code: 'several-formats', text: `programs may take it for any of: ${[...seen].sort().join(', ')}` });
  }
  const packing = formats.find((format) => packed.has(format));
  if (packing) risks.push({ code: 'packed', text: `it is packed as ${packing}, and no disk before it is unpacked` });
  const [only] = formats;
  if (image?.format === 'raw' && only !== undefined && only !== 'iso9660' && !packing) {
    risks.push({ code: 'several-formats', text: `it bears the mark of the format ${only}, which is not read here` });
  }
  return risks;
}

function referenceRisks({ role, name, format }: Reference, image: string, { untrusted }: RiskLimits): Risk[] {
  const what = `${role === 'backing' ? 'backing file' : 'data file'} '${name}'`;
  const risks: Risk[] = [];
  if (untrusted) risks.push({ code: 'names-another-file', text: `it asks for the ${what}` });
  if (hasProtocol(name)) {
    risks.push({ code: 'name-with-protocol', text: `the name of the ${what} stands for more than a file` });
  } else if (leadsOutside(image, name)) {
    risks.push({ code: 'name-outside-folder', text: `the ${what} is outside of the image's folder` });
  }
  if (role === 'backing' && format === undefined) {
    risks.push({ code: 'backing-format-missing', text: `the format of the ${what} is left to be guessed` });
  }
  return risks;
}

function leadsOutside(image: string, name: string): boolean {
  if (path.isAbsolute(name)) return true;
  const home = path.dirname(path.resolve(image));
  return path.relative(home, path.resolve(home, name)).split('/')[0] === '..';
}

function stateRisks({ image, check }: ImageFacts): Risk[] {
  const risks: Risk[] = [];
  if (image?.['format-specific']?.data.corrupt === true) {
    risks.push({ code: 'corrupt', text: 'it is marked as corrupt' });
  }
  if (check && check.corruptions + check.checkErrors > 0) {
    const count = check.corruptions + check.checkErrors;
    risks.push({ code: 'errors', text: `its structure has ${count} error${count === 1 ? '' : 's'}` });
  }
  if (check && check.leaks > 0) {
    risks.push({
      code: 'leaks',
      text: `${check.leaks} cluster${check.leaks === 1 ? ' is' : 's are'} in use by nothing`,
    });
  }
  if (image?.['dirty-flag']) risks.push({ code: 'dirty', text: 'it was not closed properly' });
  if (image?.encrypted) risks.push({ code: 'encrypted', text: 'it is encrypted: what it holds cannot be told' });
  return risks;
}

function sizeRisks({ image, fileSize }: ImageFacts, { maxSize }: RiskLimits): Risk[] {
  if (!image) return [];
  const size = image['virtual-size'];
  if (maxSize !== undefined && size > maxSize) {
    return [{ code: 'size-over-limit', text: `its disk has ${size} bytes, the limit is ${maxSize}` }];
  }
  if (maxSize !== undefined || size <= MODEST_SIZE || size / Math.max(1, fileSize) <= PROPORTION) return [];
  return [{ code: 'size-out-of-proportion', text: `its disk has ${size} bytes, in a file of ${fileSize}` }];
}
