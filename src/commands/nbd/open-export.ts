/** From a request to an export that can be served. */
import { Backend } from '../../core/block/backend/backend.ts';
import { type CacheMode, cacheMode } from '../../core/block/backend/cache-mode.ts';
import { withAio } from '../../core/block/graph/aio-spec.ts';
import type { BlockGraph } from '../../core/block/graph/block-graph.ts';
import type { Node } from '../../core/block/graph/node.ts';
import { operations } from '../../core/block/graph/operations.ts';
import { snapshotSpec } from '../../core/block/graph/snapshot-spec.ts';
import { type NodeSpec, specFromFileName, specFromOptions } from '../../core/block/graph/spec.ts';
import { BlockError, naming } from '../../core/errors/block-error.ts';
import { type BitmapSource, bitmapSource, Export } from '../../core/export/index.ts';
import { makeTemporaryOverlay } from '../../core/job/temporary-overlay.ts';
import { traceAbove } from '../cli/trace-option.ts';
import type { NbdOptions } from './command-line.ts';
import type { ExportRequest } from './export-requests.ts';

/** How all images of the command line are opened. */
export interface OpenSettings {
  readonly options: NbdOptions;
  readonly traceFile: string | undefined;
  /** Called once all is closed again. */
  onClose(action: () => void): void;
}

/** @throws BlockError that names the image. */
export async function openExport(graph: BlockGraph, request: ExportRequest, settings: OpenSettings): Promise<Export> {
  const { file } = request;
  try {
    const backend = await openBackend(graph, request, settings);
    const bitmaps: BitmapSource[] = [];
    try {
      for (const name of new Set(request.bitmaps)) bitmaps.push(exportedBitmap(backend.image, name, request));
      const { name, description, readOnly, allocationDepth } = request;
      return new Export({ name, description, readOnly, allocationDepth, bitmaps, backend });
    } catch (error) {
      for (const bitmap of bitmaps) bitmap.release?.();
      await backend.close();
      throw error;
    }
  } catch (error) {
    throw request.imageOpts ? error : naming(file, `Could not open '${file}'`, error);
  }
}

async function openBackend(graph: BlockGraph, request: ExportRequest, settings: OpenSettings): Promise<Backend> {
  const { options } = settings;
  const cache = cacheOf(options);
  const { readOnly, offset } = request;
  let spec = specOf(graph, request);
  if (options.aio !== undefined) spec = withAio(spec, options.aio);
  if (request.loadSnapshot !== undefined) spec = snapshotSpec(spec, request.loadSnapshot);
  if (request.snapshot) {
    const overlay = await makeTemporaryOverlay(graph, spec);
    settings.onClose(() => overlay.dispose());
    spec = overlay.spec;
  }
  if (offset > 0) spec = { driver: 'raw', offset, file: spec };
  if (options.detectZeroes !== undefined) spec = { ...spec, 'detect-zeroes': options.detectZeroes };
  return await Backend.open(graph, traceAbove(spec, settings.traceFile), {
    user: `export '${request.name}'`,
    permissions: readOnly ? operations.export.image : operations['export-writable'].image,
    writethrough: cache.writethrough,
    open: {
      modes: {
        readOnly,
        unmap: options.discard === 'unmap' || options.discard === 'on',
        direct: cache.direct,
        noFlush: cache.noFlush,
      },
    },
  });
}

function cacheOf({ nocache, cache = cacheMode(nocache ? 'none' : 'writeback') }: NbdOptions): CacheMode {
  return cache;
}

function specOf(graph: BlockGraph, { file, imageOpts, format }: ExportRequest): NodeSpec {
  return imageOpts ? specFromOptions(file) : specFromFileName(graph.settings.drivers, file, format);
}

/** A bitmap of the image or of one below it, as it is at any moment. */
function exportedBitmap(top: Node, name: string, { readOnly }: ExportRequest): BitmapSource {
  for (let node: Node | undefined = top; node; node = (node.backing ?? node.filtered ?? node.child('file'))?.node) {
    const bitmap = node.io.bitmaps.find(name);
    if (!bitmap) continue;
    if (readOnly && bitmap.recording && !node.modes.readOnly) {
      throw new BlockError(`bitmap '${name}' records writes, which does not go with a read-only export`);
    }
    return bitmapSource(bitmap, 'an export');
  }
  throw new BlockError(`there is no dirty bitmap '${name}'`, { code: 'ENOENT' });
}
