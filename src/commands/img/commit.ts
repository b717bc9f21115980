import { displayName, hasProtocol, resolveName } from '../../core/block/graph/file-name.ts';
import type { Node } from '../../core/block/graph/node.ts';
import { realName } from '../../core/block/graph/opening.ts';
import { operations } from '../../core/block/graph/operations.ts';
import { type NodeSpec, specFromFileName } from '../../core/block/graph/spec.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { JobList } from '../../core/job/job-list.ts';
import { activeCommit } from '../../core/job/mirror/start.ts';
import { recordBase } from '../../core/job/record-base.ts';
import { isRecord } from '../../core/options/index.ts';
import { command } from '../cli/record.ts';
import { sizeValue } from '../cli/values.ts';
import {
  chainOptions,
  type ImageRequest,
  imageSpec,
  namingImage,
  type OpenImages,
  shared,
  withImages,
} from './open-image.ts';
import { runWithProgress } from './run-with-progress.ts';

export const commit = command({
  name: 'commit',
  group: 'Change images',
  summary: 'Bring what an image holds into its backing file',
  description: [
    'Everything that FILE has beside its backing file is written there, and FILE is emptied: the disk that it shows ' +
      'stays the same. The backing file grows where it is shorter.',
    'With -b, all images above BASE are brought into it, and none is emptied. The images in between, and others that ' +
      'stand on BASE, show something else from then on.',
  ],
  arguments: { file: { name: 'FILE', help: 'The image' } },
  options: {
    format: shared.format,
    imageOpts: shared.imageOpts,
    base: { short: 'b', value: 'BASE', help: 'The image of the backing chain to write to; default the next one' },
    keep: { short: 'd', help: 'Do not empty FILE afterwards' },
    cache: { ...shared.targetCache, default: 'writeback' },
    rate: { short: 'r', value: 'RATE', parse: sizeValue, help: 'Write at most this many bytes per second' },
    progress: shared.progress,
    quiet: shared.quiet,
    ...chainOptions,
  },
  examples: [
    ['img commit overlay.qcow2', 'Write what overlay.qcow2 holds to its backing file, and empty it'],
    ['img commit -p -d -b base.qcow2 top.qcow2', 'Everything above base.qcow2, with progress'],
  ],
  run: ({ arguments: { file }, options }, io) =>
    withImages(io, options, async (images) => {
      const request = { name: file, format: options.format, imageOpts: options.imageOpts };
      const depth = await depthOf(images, request, options.base);
      const image = await images.open(request, {
        operation: operations.write.image,
        writable: true,
        cache: options.cache,
        adjust: (spec) => withWritableBase(spec, depth),
      });
      const top = image.image;
      const base = layersOf(top)[depth] ?? top;
      // What has been written shows in the overlays just the same: the base is no other than that, also when it failed.
      const overlay = overlaySpec(images, request, layersOf(top)[depth - 1] ?? top, depth);
      try {
        const settings = { speed: options.rate ?? 0 };
        const job = await activeCommit(new JobList(), images.graph, { top, base, endWhenReady: true }, settings);
        // From now on images on the base can tell that it has been changed.
        if (base.image.generation?.value === undefined) await base.image.generation?.start();
        await runWithProgress(io, job, options);
        if (!options.keep && options.base === undefined) await top.layer.image.makeEmpty?.();
      } catch (error) {
        await image.close().catch(() => undefined);
        await recordBase(images.graph, overlay);
        throw namingImage(file, error, 'commit');
      }
      await image.close();
      await recordBase(images.graph, overlay);
      if (!options.quiet) io.stdout.write('Image committed.\n');
      return 0;
    }),
});

/** How to open the image directly above the base by itself. */
function overlaySpec(images: OpenImages, request: ImageRequest, node: Node, depth: number): NodeSpec {
  if (depth === 1) return imageSpec(request);
  return specFromFileName(images.graph.settings.drivers, node.fileName, node.driver.name);
}

/** Where in the chain the base is: 1 for the next image. Only headers are looked at. */
async function depthOf(images: OpenImages, request: ImageRequest, base: string | undefined): Promise<number> {
  const look = await images.open(request, { operation: operations.inspect.image, forceShare: true, noIo: true });
  try {
    const layers = layersOf(look.image);
    if (layers.length < 2) throw new BlockError(`'${request.name}' has no backing file`);
    if (base === undefined) return 1;
    const depth = layers.findIndex((node, index) => index > 0 && isCalled(node, layers[index - 1], base));
    if (depth < 0) throw new BlockError(`'${base}' is not in the backing chain of '${request.name}'`);
    return depth;
  } finally {
    await look.close();
  }
}

/** A layer goes by the name its overlay has for it, and by that of its file; relative names are meant against the overlay. */
function isCalled(node: Node, overlay: Node | undefined, name: string): boolean {
  if (overlay === undefined) return false;
  if (overlay.image.backing?.fileName === name) return true;
  if (hasProtocol(name)) return displayName(node) === name;
  return realName(resolveName(overlay.fileName, name)) === realName(node.fileName);
}

/** The images of a chain, filters left out. */
function layersOf(top: Node): Node[] {
  const layers: Node[] = [];
  for (let node: Node | undefined = top.layer; node; node = node.backing?.node.layer) {
    layers.push(node);
  }
  return layers;
}

/** The base is opened for writing from the start: what is only read cannot be written to later. */
function withWritableBase(spec: NodeSpec, depth: number): NodeSpec {
  if (depth === 0) return { ...spec, 'read-only': false, discard: 'unmap' };
  const { backing } = spec;
  if (backing !== undefined && !isRecord(backing)) return spec;
  return { ...spec, backing: withWritableBase((backing ?? {}) as NodeSpec, depth - 1) };
}
