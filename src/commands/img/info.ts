import { describeImage, type ImageDescription } from '../../core/block/graph/image-info.ts';
import { MAX_DEPTH, realName } from '../../core/block/graph/opening.ts';
import { operations } from '../../core/block/graph/operations.ts';
import { assertReferenceAllowed, type ReferencePolicy } from '../../core/block/graph/references.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import type { Io } from '../cli/io.ts';
import { prettyJson } from '../cli/output.ts';
import { command } from '../cli/record.ts';
import { infoText } from './info-text.ts';
import { chainOptions, type ImageRequest, type Surroundings, shared, withImages } from './open-image.ts';

export const info = command({
  name: 'info',
  group: 'Look at images',
  summary: 'Show what an image is',
  description: [
    'Shows format, size, backing file, snapshots and what else the header says. Only the header is read: no ' +
      'other file that the image names is opened, unless the backing chain is asked for.',
    'The disk size is the space that the file takes on the host.',
  ],
  arguments: { file: { name: 'FILE', help: 'The image' } },
  options: {
    format: shared.format,
    imageOpts: shared.imageOpts,
    output: shared.output,
    backingChain: { long: 'backing-chain', help: 'Show the backing files too, each by itself, top first' },
    forceShare: shared.forceShare,
    ...chainOptions,
  },
  examples: [
    ['img info disk.qcow2', 'What disk.qcow2 is'],
    ['img info --output=json --backing-chain top.qcow2', 'The whole chain for a program'],
    ['img info -U running.qcow2', 'An image that a virtual machine is writing to'],
    ['img info --backing-chain --refs=same-dir upload.qcow2', 'Follow backing files only within the folder'],
  ],
  async run({ arguments: { file }, options }, io) {
    const request = { name: file, format: options.format, imageOpts: options.imageOpts };
    const { forceShare, refs, objects } = options;
    const view = { forceShare, refs, objects };
    const found = options.backingChain ? await describeChain(request, view, io) : [await describe(request, view, io)];
    if (options.output === 'json') io.stdout.write(`${prettyJson(options.backingChain ? found : found[0])}\n`);
    else io.stdout.write(found.map(infoText).join('\n'));
    return 0;
  },
});

interface View extends Surroundings {
  readonly forceShare: boolean;
}

function describe(request: ImageRequest, view: View, io: Io): Promise<ImageDescription> {
  return withImages(io, view, async (images) => {
    const backend = await images.open(request, {
      operation: operations.inspect.image,
      forceShare: view.forceShare,
      noBacking: true,
      noIo: true,
    });
    return describeImage(backend.image);
  });
}

/** One image after another, each closed before the next: a chain of any length takes no more than one. */
async function describeChain(start: ImageRequest, view: View, io: Io): Promise<ImageDescription[]> {
  const chain: ImageDescription[] = [];
  const seen = new Set<string>();
  for (let request: ImageRequest | undefined = start; request; ) {
    const identity = request.imageOpts ? request.name : realName(request.name);
    if (seen.has(identity))
      throw new BlockError(`Backing file '${request.name}' creates an infinite loop`, { code: 'ELOOP' });
    if (seen.size >= MAX_DEPTH) {
      throw new BlockError(`the backing chain of '${start.name}' is longer than ${MAX_DEPTH} images`, {
        code: 'ELOOP',
      });
    }
    seen.add(identity);
    const image: ImageDescription = await describe(request, view, io);
    chain.push(image);
    request = backingOf(image, view.refs);
  }
  return chain;
}

function backingOf(image: ImageDescription, refs: ReferencePolicy): ImageRequest | undefined {
  const name = image['backing-filename'];
  if (name === undefined) return undefined;
  const resolved = image['full-backing-filename'];
  if (resolved === undefined) {
    throw new BlockError(`Could not determine the absolute path of backing file '${name}' of '${image.filename}'`);
  }
  assertReferenceAllowed(refs, { image: image.filename, role: 'backing file', name, resolved });
  return { name: resolved, format: image['backing-filename-format'] };
}
