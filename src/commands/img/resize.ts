import type { Backend } from '../../core/block/backend/backend.ts';
import { operations } from '../../core/block/graph/operations.ts';
import { parseSize } from '../../core/bytes/sizes.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { type Io, warn } from '../cli/io.ts';
import { command } from '../cli/record.ts';
import { chainOptions, namingImage, shared, withImages } from './open-image.ts';

export const resize = command({
  name: 'resize',
  group: 'Change images',
  summary: 'Make the disk of an image longer or shorter',
  description: [
    'What is added reads as zeroes. Partitions and file systems on the disk are left as they are: make them smaller ' +
      'before shrinking the disk, and larger after growing it.',
    'SIZE must be the last word when it begins with a minus sign.',
  ],
  arguments: {
    file: { name: 'FILE', help: 'The image' },
    size: {
      name: 'SIZE',
      help: 'The new size such as 10G, or how much to add (+1G) or to take away (-1G)',
      last: true,
    },
  },
  options: {
    format: shared.format,
    imageOpts: shared.imageOpts,
    preallocation: {
      long: 'preallocation',
      value: 'off|metadata|falloc|full',
      choices: ['off', 'metadata', 'falloc', 'full'],
      default: 'off',
      help: 'Space to take at once for what is added',
    },
    shrink: { long: 'shrink', help: 'Allow the disk to become shorter; data beyond the new end is lost' },
    quiet: shared.quiet,
    ...chainOptions,
  },
  examples: [
    ['img resize disk.qcow2 +10G', 'Add 10 GiB'],
    ['img resize --preallocation=falloc -f raw disk.raw 100G', 'Grow to 100 GiB and reserve the space'],
    ['img resize --shrink disk.qcow2 -1G', 'Take 1 GiB away at the end'],
  ],
  run: ({ arguments: { file, size }, options }, io) =>
    withImages(io, options, async (images) => {
      const wanted = readChange(size);
      const request = { name: file, format: options.format, imageOpts: options.imageOpts };
      const backend = await images.open(request, { writable: true, operation: operations.resize.image });
      const { preallocation, shrink } = options;
      const to = newSize(wanted, backend, file);
      if (preallocation !== 'off' && to <= backend.size) {
        throw new Usage(`preallocation is for growing, and '${file}' would go from ${backend.size} to ${to} bytes`);
      }
      if (to < backend.size && !shrink) return refuseToShrink(file, { from: backend.size, to }, io);
      await backend.truncate(to, { preallocation }).catch((error: unknown) => {
        throw namingImage(file, error, 'resize');
      });
      if (!options.quiet) io.stdout.write('Image resized.\n');
      return 0;
    }),
});

interface Change {
  /** 0: the size itself is meant; else it is added or taken away. */
  readonly sign: -1 | 0 | 1;
  readonly bytes: number;
}

function readChange(text: string): Change {
  const sign = text.startsWith('+') ? 1 : text.startsWith('-') ? -1 : 0;
  return { sign, bytes: parseSize(sign === 0 ? text : text.slice(1), 'image size') };
}

function newSize({ sign, bytes }: Change, { size }: Backend, file: string): number {
  const to = sign === 0 ? bytes : size + sign * bytes;
  if (to > 0 && Number.isSafeInteger(to)) return to;
  const limit = to > 0 ? `must be at most ${Number.MAX_SAFE_INTEGER}` : 'must be positive';
  throw new Usage(`the new size of '${file}' would be ${to} bytes (now ${size}), it ${limit}`);
}

function refuseToShrink(file: string, { from, to }: { from: number; to: number }, io: Io): number {
  io.stderr.write(`${io.programName}: '${file}' would shrink from ${from} to ${to} bytes, which needs --shrink\n`);
  warn(io, 'all data beyond the new end is lost when an image shrinks; make sure that none of it is needed');
  return 1;
}
