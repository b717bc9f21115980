import type { Backend } from '../../core/block/backend/backend.ts';
import { HUGE_SIZE, parseSize } from '../../core/bytes/sizes.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { type ImageMeasure, measureImage } from '../../core/job/measure-image.ts';
import type { Io } from '../cli/io.ts';
import { prettyJson } from '../cli/output.ts';
import { command } from '../cli/record.ts';
import { CREATION_OPTION, creationHelp, OUTPUT_FORMAT_OPTION, readCreationOptions } from './creation-options.ts';
import { chainOptions, type OpenImages, shared, withImages } from './open-image.ts';

export const measure = command({
  name: 'measure',
  group: 'Look at images',
  summary: 'Show how large a new image would become',
  description: [
    'Measures an empty disk (--size) or the content of FILE, stored in format -O with the options -o. The required ' +
      'size is that of the file when it has been made; the fully allocated size is what it grows to when every part ' +
      'of the disk is written. Bitmaps of FILE take their size on top where they are copied too.',
    'It tells how large a logical volume must be to take an image. Compression is not foreseen, and nothing is written.',
  ],
  arguments: { file: { name: 'FILE', help: 'The image to be stored', optional: true } },
  options: {
    format: { ...shared.format, help: 'Format of FILE; guessed from its content when not given' },
    imageOpts: shared.imageOpts,
    outputFormat: { ...OUTPUT_FORMAT_OPTION, help: 'Format of the new image' },
    create: CREATION_OPTION,
    size: {
      long: 'size',
      value: 'SIZE',
      parse: (text, option) => parseSize(text, option, HUGE_SIZE),
      help: 'Measure an empty disk of this size, not a FILE',
    },
    snapshot: shared.snapshot,
    output: shared.output,
    forceShare: shared.forceShare,
    ...chainOptions,
  },
  examples: [
    ['img measure --size 100G -O qcow2', 'What an empty disk takes, and a full one'],
    ['img measure -O qcow2 -o cluster_size=2M disk.raw', 'What disk.raw takes as qcow2 with large clusters'],
    ['img measure --output=json -O qcow2 disk.qcow2', 'The same for a program'],
  ],
  run: ({ arguments: { file }, options }, io) =>
    withImages(io, options, async (images) => {
      const typed = readCreationOptions(options.create);
      if (!typed) {
        io.stdout.write(await creationHelp(images.graph, options.outputFormat, undefined));
        return 0;
      }
      const content = await contentOf(file, options, images);
      const found = await measureImage(images.graph, { driver: options.outputFormat, options: typed, content });
      print(found, options.output, io);
      return 0;
    }),
});

interface Flags {
  readonly format: string | undefined;
  readonly imageOpts: boolean;
  readonly size: number | undefined;
  readonly snapshot: string | undefined;
  readonly forceShare: boolean;
}

/** The size of an empty disk, or the image opened. */
async function contentOf(file: string | undefined, flags: Flags, images: OpenImages): Promise<number | Backend> {
  const { format, imageOpts, size, snapshot, forceShare } = flags;
  if (file === undefined) {
    if (imageOpts || format !== undefined || snapshot !== undefined) {
      throw new Usage("options '--image-opts', '-f' and '-l' need an argument FILE");
    }
    if (size === undefined) throw new Usage('what to measure is missing: a FILE, or a size with --size');
    return size;
  }
  if (size !== undefined) throw new Usage(`either --size or a FILE can be measured, not both ${size} and '${file}'`);
  return images.open({ name: file, format, imageOpts }, { forceShare, snapshot });
}

function print(found: ImageMeasure, output: 'human' | 'json', io: Io): void {
  // As bigints: the digits of large numbers are all printed.
  const required = BigInt(found.required);
  const full = BigInt(found.fullyAllocated);
  const { bitmaps } = found;
  if (output === 'json') {
    io.stdout.write(`${prettyJson({ bitmaps, required, 'fully-allocated': full })}\n`);
    return;
  }
  io.stdout.write(`required size: ${required}\nfully allocated size: ${full}\n`);
  if (bitmaps !== undefined) io.stdout.write(`bitmaps size: ${bitmaps}\n`);
}
