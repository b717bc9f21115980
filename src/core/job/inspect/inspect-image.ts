/**
 * What an image of unknown origin is and asks for, found out without opening anything that it names and without
 * reading its data: only its own metadata, within the bounds that every open keeps.
 */
import fs from 'node:fs';
import { Backend } from '../../block/backend/backend.ts';
import type { CheckResult } from '../../block/driver.ts';
import type { BlockGraph } from '../../block/graph/block-graph.ts';
import { describeImage, type ImageDescription } from '../../block/graph/image-info.ts';
import { operations } from '../../block/graph/operations.ts';
import type { NodeSpec } from '../../block/graph/spec.ts';
import { asBlockError, BlockError, Cancelled, withContext } from '../../errors/block-error.ts';
import { type ImageFacts, type Reference, type Risk, risksOf } from './risks.ts';
import { signaturesOf } from './signatures.ts';

export interface InspectOptions {
  /** A path of the host. */
  readonly path: string;
  /** What stands for it: the graph's policy on references must be `none`. */
  readonly spec: NodeSpec;
  /** Whatever the image names is a risk; else only names that lead elsewhere are. */
  readonly untrusted: boolean;
  /** A longer disk is a risk, in bytes. */
  readonly maxSize?: number | undefined;
  /** Look at all tables, as a check does; default true. */
  readonly check?: boolean;
  readonly signal?: AbortSignal;
}

/** safe: nothing found; risky: see the risks; invalid: it cannot be opened as what it seems to be. */
export type Verdict = 'safe' | 'risky' | 'invalid';

export interface Inspection {
  readonly verdict: Verdict;
  /** Bytes of the file. */
  readonly fileSize: number;
  /** Formats whose marks the file bears, our own or not. */
  readonly formats: readonly string[];
  /** Absent when it is invalid. */
  readonly image?: ImageDescription;
  readonly references: readonly Reference[];
  readonly check?: CheckResult;
  readonly risks: readonly Risk[];
}

/** @throws BlockError where the file itself cannot be looked at. */
export async function inspectImage(graph: BlockGraph, options: InspectOptions): Promise<Inspection> {
  const { path, untrusted, maxSize } = options;
  const fileSize = sizeOf(path);
  const formats = signaturesOf(path);
  const facts = await factsOf(graph, options);
  const references = facts.image ? referencesOf(facts.image) : [];
  const risks = risksOf({ ...facts, path, fileSize, formats, references }, { untrusted, maxSize });
  const verdict = facts.problem ? 'invalid' : risks.length > 0 ? 'risky' : 'safe';
  const { image, check } = facts;
  return { verdict, fileSize, formats, references, risks, ...(image ? { image } : {}), ...(check ? { check } : {}) };
}

/** A pipe would wait for a writer, and a device is nothing that somebody has sent. */
function sizeOf(path: string): number {
  let stat: fs.Stats;
  try {
    stat = fs.statSync(path);
  } catch (error) {
    throw withContext(`cannot inspect '${path}'`, error);
  }
  if (stat.isFile()) return stat.size;
  throw new BlockError(`cannot inspect '${path}': it is not a regular file`, { code: 'EINVAL' });
}

type Found = Pick<ImageFacts, 'image' | 'check' | 'problem'>;

async function factsOf(graph: BlockGraph, options: InspectOptions): Promise<Found> {
  let backend: Backend;
  try {
    backend = await Backend.open(graph, options.spec, {
      user: `the inspection of '${options.path}'`,
      permissions: operations.inspect.image,
      open: { modes: { readOnly: true, noIo: true, forceShare: true }, noBacking: true },
    });
  } catch (error) {
    return { problem: asBlockError(error) };
  }
  try {
    const image = await describeImage(backend.image);
    return { image, ...(await checked(backend, options)) };
  } catch (error) {
    if (error instanceof Cancelled || options.signal?.aborted) throw error;
    return { problem: asBlockError(error) };
  } finally {
    await backend.close();
  }
}

async function checked({ image: node }: Backend, { check, signal }: InspectOptions): Promise<Found> {
  if (check === false || !node.image.check) return {};
  return {
    check: await node.image.check.run({ repair: 'none', report: () => undefined, ...(signal ? { signal } : {}) }),
  };
}

function referencesOf(image: ImageDescription): Reference[] {
  const found: Reference[] = [];
  const backing = image['backing-filename'];
  if (backing !== undefined) {
    const format = image['backing-filename-format'];
    found.push({ role: 'backing', name: backing, ...(format === undefined ? {} : { format }) });
  }
  const dataFile = image['format-specific']?.data['data-file'];
  if (typeof dataFile === 'string') found.push({ role: 'data-file', name: dataFile, format: 'raw' });
  return found;
}
