import { Backend } from '../core/block/backend/backend.ts';
import { cacheMode } from '../core/block/backend/cache-mode.ts';
import { BlockGraph, type ChangedBasePolicy } from '../core/block/graph/block-graph.ts';
import { type OperationPart, operations } from '../core/block/graph/operations.ts';
import type { ReferencePolicy } from '../core/block/graph/references.ts';
import { crumpleSpec, type NodeSpec, specFromFileName } from '../core/block/graph/spec.ts';
import type { Options } from '../core/options/schema.ts';
import { driverList } from '../drivers/index.ts';

export interface GraphOptions {
  /**
   * Which further files an image may cause to be opened (backing and data files): none, plain files in its own folder
   * or below, or all. Default all; for images of unknown origin use less.
   */
  readonly references?: ReferencePolicy;
  /**
   * What to do about an overlay whose backing file is not what it was when the overlay was made: `warn` (the default),
   * `warn-certain` (only where its disk is known to have been written to), or `refuse` to open it.
   */
  readonly changedBase?: ChangedBasePolicy;
  /** Told what is worth knowing but no error. */
  warn?(message: string): void;
}

export interface ObjectOptions {
  /**
   * What the images refer to by id, as `--object` takes it: `{ 'qom-type': 'secret', id: 'key', file: 'key.txt' }`.
   * They are defined in the graph that the images are opened in.
   */
  readonly objects?: readonly Options[];
}

/** The graph to work in: the caller's, or a new one, with the objects defined in it. */
export async function graphFor(options: GraphOptions & ObjectOptions & { graph?: BlockGraph }): Promise<BlockGraph> {
  const graph = options.graph ?? newGraph(options);
  for (const definition of options.objects ?? []) await graph.objects.add(definition);
  return graph;
}

/** A new block graph with all drivers. Images opened in the same graph see each other's permissions. */
export function newGraph(options: GraphOptions = {}): BlockGraph {
  return new BlockGraph({
    drivers: driverList,
    references: options.references ?? 'all',
    changedBase: options.changedBase ?? 'warn',
    warn: (message) => options.warn?.(message),
  });
}

export interface OpenImageOptions extends GraphOptions, ObjectOptions {
  /** Format of the image; found by its content when not given. */
  readonly format?: string;
  /** Open for writing; default false. */
  readonly writable?: boolean;
  /** Read even while another program writes. */
  readonly forceShare?: boolean;
  /** none, writeback, writethrough, directsync or unsafe; default writeback. */
  readonly cache?: string;
  /** Do not open the backing file that the image names. */
  readonly noBacking?: boolean;
  /** Open in this graph rather than in one of its own. */
  readonly graph?: BlockGraph;
}

/**
 * Open an image by file name (also `json:{…}`) or by options as `--image-opts` and the control socket take them.
 *
 * The result reads, writes, zeroes, discards, flushes, resizes and tells block status, all in bytes; its requests
 * return their value at once where that is possible, so `await` them. Close it, or hold it with `await using`.
 * @throws BlockError
 */
export async function openImage(image: string | NodeSpec, options: OpenImageOptions = {}): Promise<Backend> {
  const operation = options.writable ? operations.resize.image : operations.read.image;
  return open(await graphFor(options), image, options, operation);
}

/** As {@link openImage}, for an operation that needs other permissions. */
export async function open(
  graph: BlockGraph,
  image: string | NodeSpec,
  options: OpenImageOptions,
  permissions: OperationPart,
): Promise<Backend> {
  const { direct, noFlush, writethrough } = cacheMode(options.cache ?? 'writeback');
  return Backend.open(graph, specOf(image, options.format), {
    user: `the user of ${typeof image === 'string' ? `'${image}'` : 'the image'}`,
    permissions,
    writethrough,
    open: {
      modes: { readOnly: !options.writable, forceShare: options.forceShare ?? false, direct, noFlush },
      noBacking: options.noBacking ?? false,
    },
  });
}

/** What `image` stands for: a file name, or options that may be given flat, with dotted names. */
export function specOf(image: string | NodeSpec, format?: string): NodeSpec {
  if (typeof image === 'string') return specFromFileName(driverList, image, format);
  return crumpleSpec(format === undefined ? image : { driver: format, ...image });
}
