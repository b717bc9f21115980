import type { Backend } from '../core/block/backend/backend.ts';
import { cacheMode } from '../core/block/backend/cache-mode.ts';
import { operations } from '../core/block/graph/operations.ts';
import type { NodeSpec } from '../core/block/graph/spec.ts';
import { convert as convertImages } from '../core/job/convert.ts';
import type { JobProgress } from '../core/job/job.ts';
import type { CopySettings } from '../core/job/mirror-job.ts';
import { crumple } from '../core/options/tree.ts';
import { type GraphOptions, graphFor, type ObjectOptions, open, specOf } from './open.ts';

export interface ConvertImageOptions extends GraphOptions, ObjectOptions, Omit<CopySettings, 'transfer'> {
  /** Format of the sources; found by their content when not given. */
  readonly sourceFormat?: string;
  /** Format of the target; default raw. */
  readonly format?: string;
  /** Creation options of the target, as `img convert -o` takes them. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** The target exists and is overwritten; else it is made. Default false. */
  readonly existing?: boolean;
  /** The existing target reads as zeroes. */
  readonly targetIsZero?: boolean;
  /** Make the target an overlay of this: what lies below the source's top layer is not copied. */
  readonly backing?: { readonly fileName: string; readonly format: string };
  /** Cache mode of the target; default unsafe, so call nothing done before this has resolved. */
  readonly cache?: string;
  readonly sourceCache?: string;
  readonly forceShare?: boolean;
  /** Bytes per second; default no limit. */
  readonly speed?: number;
  /** Read the target again when it is complete, and compare it with what was read; fails with EIO where it differs. */
  readonly verify?: boolean;
  /** Leave the page cache of the sources as it was; default true. */
  readonly cacheManners?: boolean;
  readonly signal?: AbortSignal;
  /** Bytes of the disk dealt with, and its length. */
  onProgress?(progress: JobProgress): void;
}

/**
 * Copy one disk, or several one behind the other, into a new image, or one that exists, of any format.
 *
 * ```ts
 * await convert('disk.raw', 'disk.qcow2', { format: 'qcow2', compressed: true, options: { compression_type: 'zstd' } });
 * ```
 * @throws BlockError; Cancelled when `signal` is aborted. The target is left as far as it came.
 */
export async function convert(
  source: string | NodeSpec | readonly (string | NodeSpec)[],
  target: string,
  options: ConvertImageOptions = {},
): Promise<void> {
  const { format = 'raw', backing, existing = false, onProgress } = options;
  const graph = await graphFor(options);
  const sources: Backend[] = [];
  const from = Array.isArray(source) ? (source as readonly (string | NodeSpec)[]) : [source as string | NodeSpec];
  try {
    for (const each of from) sources.push(await open(graph, each, sourceSettings(options), operations.mirror.source));
    await convertImages(graph, {
      ...options,
      sources,
      target: {
        fileName: target,
        driver: format,
        spec: specOf(target, format),
        cache: cacheMode(options.cache ?? 'unsafe'),
        isZero: options.targetIsZero ?? false,
        hasBacking: backing !== undefined,
        ...(existing ? {} : { create: { ...crumple(options.options ?? {}), ...backingOptions(backing) } }),
      },
      onJob: (job) => {
        if (job.type === 'mirror' && onProgress) job.events.on('progress', onProgress);
      },
    });
  } finally {
    for (const backend of sources) await backend.close();
  }
}

function sourceSettings(options: ConvertImageOptions): Parameters<typeof open>[2] {
  return {
    ...(options.sourceFormat === undefined ? {} : { format: options.sourceFormat }),
    ...(options.sourceCache === undefined ? {} : { cache: options.sourceCache }),
    forceShare: options.forceShare ?? false,
  };
}

function backingOptions(backing: ConvertImageOptions['backing']): Record<string, string> {
  return backing ? { backing_file: backing.fileName, backing_fmt: backing.format } : {};
}
