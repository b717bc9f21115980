import type { BlockGraph } from '../core/block/graph/block-graph.ts';
import { Usage } from '../core/errors/block-error.ts';
import { inspectBacking } from '../core/job/backing-file.ts';
import { createImage as create, creationOptions } from '../core/job/create-image.ts';
import { crumple } from '../core/options/tree.ts';
import { type GraphOptions, graphFor, type ObjectOptions } from './open.ts';

export interface CreateImageOptions extends GraphOptions, ObjectOptions {
  /** Default raw. */
  readonly format?: string;
  /** Length of the disk in bytes; may be left out where there is a backing file, which then decides. */
  readonly size?: number;
  /** What the new image shows where it holds nothing itself; relative to the image's folder. */
  readonly backing?: { readonly fileName: string; readonly format: string };
  /** Further creation options, as `img create -o` takes them (`cluster_size: '64k'`). */
  readonly options?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
  /** Open the backing file in this graph rather than in one of its own. */
  readonly graph?: BlockGraph;
}

/**
 * Make a new, empty image; a file of that name loses its content. It is closed again when this ends.
 * @throws BlockError
 */
export async function createImage(fileName: string, options: CreateImageOptions = {}): Promise<void> {
  const { format = 'raw', backing, signal } = options;
  const graph = await graphFor(options);
  let size: unknown = options.size ?? options.options?.size;
  const given: Record<string, unknown> = crumple(options.options ?? {});
  if (backing) {
    const found = await inspectBacking(graph, {
      fileName,
      backingFile: backing.fileName,
      backingFormat: backing.format,
    });
    size ??= found.size;
    Object.assign(given, { backing_file: backing.fileName, backing_fmt: backing.format });
  }
  const { create: capability } = (await creationOptions(graph, format, fileName)).format;
  if (size === undefined && !capability.sizeIsOptional?.(given))
    throw new Usage(`the size of '${fileName}' is not given`);
  await create(graph, {
    driver: format,
    fileName,
    options: { ...given, ...(size === undefined ? {} : { size }) },
    ...(signal ? { signal } : {}),
  });
}
