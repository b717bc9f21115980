/**
 * Convert: a create job, then a mirror job, on one graph.
 *
 * When making the target fails, a file made for it is removed. When copying fails, the target stays as far as it came:
 * what there is of it may be all that could be saved. Sources are never written to.
 */
import { Backend } from '../block/backend/backend.ts';
import type { CacheMode } from '../block/backend/cache-mode.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import { nodeInFile } from '../block/graph/files.ts';
import type { Node } from '../block/graph/node.ts';
import { operations } from '../block/graph/operations.ts';
import type { NodeSpec } from '../block/graph/spec.ts';
import { BlockError, NotSupported, naming, Usage } from '../errors/block-error.ts';
import { validate } from '../options/parse.ts';
import type { Options } from '../options/schema.ts';
import { crumple, flatten } from '../options/tree.ts';
import { inspectBacking } from './backing-file.ts';
import { assertBitmapsFit, type BrokenBitmaps, bitmapNode, copyBitmaps, keptBitmaps } from './copy-bitmaps.ts';
import type { DiskPart } from './copy-engine/types.ts';
import { CreateBody, creationOptions } from './create-image.ts';
import type { Job } from './job.ts';
import { JobList } from './job-list.ts';
import { type CopySettings, mirrorJob } from './mirror-job.ts';
import { recordBase } from './record-base.ts';
import { runJob } from './run-job.ts';
import { CopyRecord, verifyJob } from './verify-job.ts';

export interface ConvertTarget {
  /** For messages, and what is made. */
  readonly fileName: string;
  /** Format of what is made; for messages otherwise. */
  readonly driver: string;
  /** How to open it. */
  readonly spec: NodeSpec;
  /** Creation options under their command-line names; undefined when the target exists already. */
  readonly create?: Options;
  /** Default: no flushes at all, as fits a target that is worth nothing until it is complete. */
  readonly cache?: CacheMode;
  /** It exists, and reads as zeroes all over. */
  readonly isZero?: boolean;
  /** It exists and shows a backing file: only what the top layer of the source holds is copied. */
  readonly hasBacking?: boolean;
}

export interface ConvertOptions extends CopySettings {
  /** Opened with the permissions of a mirror source, for reading; one behind the other they make the disk. Closed at the end. */
  readonly sources: readonly Backend[];
  readonly target: ConvertTarget;
  /** With one source: what to copy of it, default all. */
  readonly part?: DiskPart;
  /** Bytes per second, 0 for no limit. */
  readonly speed?: number;
  /** Progress of the copy in bytes of data, which are counted first; for someone who follows it. Default false. */
  readonly countsData?: boolean | undefined;
  /** Leave the page cache of the sources as it was; default true. */
  readonly cacheManners?: boolean;
  /** Copy the bitmaps that the one source keeps in its image, and what to do about broken ones. */
  readonly bitmaps?: BrokenBitmaps | undefined;
  /** Read the target again when it is complete, and compare it with what was read of the sources. */
  readonly verify?: boolean;
  readonly jobs?: JobList;
  readonly signal?: AbortSignal;
  /** Told of each job before it starts: `create`, `mirror` and `verify`. */
  onJob?(job: Job): void;
  warn?(message: string): void;
}

const UNSAFE: CacheMode = { direct: false, noFlush: true, writethrough: false };

/** Convert; resolves when the target is complete and closed. Throws Cancelled when `signal` is aborted. */
export async function convert(graph: BlockGraph, options: ConvertOptions): Promise<void> {
  const jobs = options.jobs ?? new JobList();
  const { target, sources } = options;
  if (sources.length === 0) throw new Usage(`there is no source to copy to '${target.fileName}'`);
  const size = options.part?.length ?? sources.reduce((sum, source) => sum + source.size, 0);
  try {
    refuseOverwriting(options);
    checkBitmaps(options);
    const hasBacking = target.create ? await makeTarget(graph, options, size, jobs) : (target.hasBacking ?? false);
    if (hasBacking && sources.length > 1) throw severalSources();
    if (hasBacking && target.isZero) throw new Usage('a target with a backing file cannot be taken as all zeroes');
    const backend = await openTarget(graph, target, options.sparse !== 0);
    try {
      checkTarget(backend, options, size);
    } catch (error) {
      await backend.close().catch(() => undefined);
      throw error;
    }
    const fresh = target.create !== undefined && (backend.image.image.readsZeroWhenFresh ?? true);
    const record = options.verify ? new CopyRecord() : undefined;
    const job = mirrorJob(
      jobs,
      {
        ...options,
        ...(record ? { observe: (segment, bytes) => record.note(segment, bytes) } : {}),
        target: backend,
        sync: hasBacking ? 'top' : 'full',
        targetReadsZero: !hasBacking && (fresh || (target.isZero ?? false)),
        targetHasBacking: hasBacking,
        warn: (message) => options.warn?.(message),
      },
      { speed: options.speed ?? 0 },
    );
    if (options.bitmaps === undefined) await runJob(job, options);
    else await withBitmaps(graph, backend.image, options, () => runJob(job, options));
    // What is made records its base when it is made.
    if (hasBacking && !target.create) await recordBase(graph, target.spec, (target.cache ?? UNSAFE).noFlush);
    if (record) await verifyTarget(graph, options, { jobs, record });
  } finally {
    for (const source of sources) await source.close();
  }
}

async function verifyTarget(
  graph: BlockGraph,
  options: ConvertOptions,
  { jobs, record }: { readonly jobs: JobList; readonly record: CopyRecord },
): Promise<void> {
  const { fileName, spec } = options.target;
  const target = await Backend.open(graph, spec, {
    user: `the verification of '${fileName}'`,
    permissions: operations.read.image,
    open: { modes: { readOnly: true } },
  });
  await runJob(verifyJob(jobs, { target, record, fileName }), options);
}

function checkBitmaps({ bitmaps, sources }: ConvertOptions): void {
  const [source] = sources;
  if (bitmaps === undefined || !source) return;
  if (sources.length > 1) throw new Usage('bitmaps can be copied from one source only');
  keptBitmaps(bitmapNode(source.image), bitmaps);
}

/** Copy the disk, then the bitmaps; the job closes what it copies, so both images are held until that is done. */
async function withBitmaps(
  graph: BlockGraph,
  target: Node,
  options: ConvertOptions,
  copyDisk: () => Promise<void>,
): Promise<void> {
  const broken = options.bitmaps ?? 'refuse';
  const nodes = [...options.sources.map((source) => source.image), target];
  const [source = target] = nodes;
  const holds = nodes.map((node) => graph.hold(node, { describe: () => 'the copying of bitmaps' }));
  try {
    await copyDisk();
    await copyBitmaps(bitmapNode(source), bitmapNode(target), { broken, warn: (line) => options.warn?.(line) });
  } finally {
    for (const hold of holds.reverse()) await hold.release();
  }
}

/** Sharing by force takes no locks, and those who ask for it do not ask for the source to be emptied. */
function refuseOverwriting({ sources, target }: ConvertOptions): void {
  for (const { image } of sources) {
    if (!image.modes.forceShare || !nodeInFile(image, target.fileName)) continue;
    throw new BlockError(`the target '${target.fileName}' is a file of the source '${image.fileName}'`);
  }
}

function severalSources(): Usage {
  return new Usage('a target with a backing file can be made of one source only');
}

/** Make the target; true when it has a backing file. */
async function makeTarget(graph: BlockGraph, options: ConvertOptions, size: number, jobs: JobList): Promise<boolean> {
  const { fileName, driver, create = {} } = options.target;
  const given: Record<string, unknown> = { size, ...create };
  const { backing_file: backingFile, backing_fmt: backingFormat } = create;
  if (options.compressed && (create.encrypt !== undefined || create.encryption === true)) {
    throw new Usage('encryption and compression cannot be used together');
  }
  if (options.compressed && (create.preallocation ?? 'off') !== 'off') {
    throw new Usage(`preallocation=${String(create.preallocation)} and compression cannot be used together`);
  }
  const { format, schema } = await creationOptions(graph, driver, fileName);
  if (options.compressed && !format.create.compresses) throw noCompression(driver);
  const wanted = Number(validate(schema, given, `the ${driver} format`).size);
  if (wanted < size) throw tooSmall(fileName, wanted, size);
  if (typeof backingFile === 'string') {
    if (options.sources.length > 1) throw severalSources();
    const backingFmt = typeof backingFormat === 'string' ? backingFormat : undefined;
    await inspectBacking(graph, { fileName, backingFile, backingFormat: backingFmt });
  }
  const { noFlush } = options.target.cache ?? UNSAFE;
  const body = new CreateBody(graph, { driver, fileName, options: given, noFlush });
  try {
    await runJob(jobs.add({ type: 'create', body }), options);
  } catch (error) {
    throw naming(fileName, `Could not create '${fileName}'`, error);
  }
  return backingFile !== undefined;
}

/** What a new image was encrypted with opens it too. */
function secretsOf(create: Options): Record<string, unknown> {
  const flat = Object.entries(flatten(create));
  return crumple(Object.fromEntries(flat.filter(([name]) => /(^|\.)key-secret$/.test(name))));
}

async function openTarget(graph: BlockGraph, target: ConvertTarget, unmap: boolean): Promise<Backend> {
  const { direct, noFlush, writethrough } = target.cache ?? UNSAFE;
  try {
    return await Backend.open(
      graph,
      { ...target.spec, ...secretsOf(target.create ?? {}) },
      {
        user: `the target '${target.fileName}'`,
        permissions: operations.mirror.target,
        writethrough,
        open: { modes: { direct, noFlush, unmap } },
      },
    );
  } catch (error) {
    throw naming(target.fileName, `Could not open '${target.fileName}'`, error);
  }
}

function checkTarget(target: Backend, options: ConvertOptions, size: number): void {
  const { fileName } = options.target;
  if (target.size < size) throw tooSmall(fileName, target.size, size);
  const [source] = options.sources;
  if (options.bitmaps !== undefined && source) {
    assertBitmapsFit(bitmapNode(source.image), bitmapNode(target.image), options.bitmaps);
  }
  if (options.compressed && !target.image.io.canCompress) {
    throw noCompression(target.image.driver.name);
  }
}

function tooSmall(fileName: string, has: number, needs: number): BlockError {
  return new BlockError(`the target '${fileName}' has ${has} bytes, too few for the ${needs} of the source`);
}

function noCompression(driver: string): NotSupported {
  return new NotSupported(`format '${driver}' cannot store compressed data`);
}
