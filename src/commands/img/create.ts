import { HUGE_SIZE, parseSize } from '../../core/bytes/sizes.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { command } from '../cli/record.ts';
import { CREATION_OPTION, creationHelp, readCreationOptions } from './creation-options.ts';
import { makeImage } from './make-image.ts';
import { chainOptions, shared, withImages } from './open-image.ts';

export const create = command({
  name: 'create',
  group: 'Make images',
  summary: 'Make a new, empty image',
  description: [
    'A file of that name loses its content. The size may be left out where there is a backing file: the image ' +
      'then becomes as large as that.',
    'With a backing file the image holds only what is changed, and reads the rest from there. Its name is written ' +
      'into the image as given, so a relative name is relative to the folder of the image.',
  ],
  arguments: {
    file: { name: 'FILE', help: 'The image to make', optional: true },
    size: { name: 'SIZE', help: 'Size of the disk in bytes, or with a suffix such as 10G', optional: true },
  },
  options: {
    format: {
      short: 'f',
      long: 'format',
      value: 'FMT',
      default: 'raw',
      offers: 'new-format',
      help: 'Format of the image',
    },
    backing: { short: 'b', long: 'backing', value: 'FILE', help: 'Backing file: what the image is put on top of' },
    backingFormat: { short: 'F', long: 'backing-format', value: 'FMT', help: 'Format of the backing file' },
    unsafe: {
      short: 'u',
      long: 'backing-unsafe',
      help: 'Do not open the backing file; its format and the size must then be given',
    },
    create: CREATION_OPTION,
    quiet: shared.quiet,
    ...chainOptions,
  },
  examples: [
    ['img create -f qcow2 disk.qcow2 20G', 'A disk that takes space as it fills'],
    ['img create -f qcow2 -b base.qcow2 -F qcow2 top.qcow2', 'One on top of another'],
    ['img create -f qcow2 -o cluster_size=2M,preallocation=metadata disk.qcow2 1T', 'With options'],
    ['img create -f qcow2 -o help', 'The options there are'],
  ],
  run: ({ arguments: { file, size }, options }, io) =>
    withImages(io, options, async ({ graph }) => {
      const typed = readCreationOptions(options.create);
      if (!typed) {
        io.stdout.write(await creationHelp(graph, options.format, file));
        return 0;
      }
      if (file === undefined) throw new Usage('argument FILE is missing');
      await makeImage(
        { ...options, file, size: size === undefined ? undefined : exactSize(size), options: typed },
        { graph, signal: io.signal, say: (line) => (options.quiet ? undefined : io.stdout.write(line)) },
      );
      return 0;
    }),
});

/** As text where a number would not be written out exactly. */
function exactSize(text: string): number | string {
  const size = parseSize(text, 'image size', HUGE_SIZE);
  return Number.isSafeInteger(size) ? size : String(BigInt(size));
}
