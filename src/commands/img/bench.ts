import { operations } from '../../core/block/graph/operations.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { benchmark } from '../../core/job/benchmark.ts';
import { AIO_WORDS } from '../cli/aio-option.ts';
import { command } from '../cli/record.ts';
import { integerValue, sizeValue } from '../cli/values.ts';
import { cacheValue, chainOptions, shared, withImages } from './open-image.ts';

const MAX = 2 ** 31 - 1;

/** A size that must not exceed what one request can have. */
function shortSizeValue(text: string, option: string): number {
  const value = sizeValue(text, option);
  if (value <= MAX) return value;
  throw new Usage(`${option} expects at most ${MAX} bytes, not ${value}`);
}

export const bench = command({
  name: 'bench',
  group: 'Look at images',
  summary: 'Measure how fast an image can be read or written',
  description: [
    'Sends requests of one length, one behind the other on the disk, with up to -d of them under way at any time, and ' +
      'tells how long all of them took. At the end of the disk it goes on at the beginning.',
    'With -w the content of the image is destroyed. Opening and closing the image is not part of the time; flushes are.',
  ],
  arguments: { file: { name: 'FILE', help: 'The image' } },
  options: {
    count: { short: 'c', value: 'COUNT', parse: integerValue(0, MAX), default: '75000', help: 'Requests to send' },
    depth: {
      short: 'd',
      value: 'DEPTH',
      parse: integerValue(1, MAX),
      default: '64',
      help: 'Requests under way at any time',
    },
    format: shared.format,
    aio: {
      short: 'i',
      ...AIO_WORDS,
    },
    native: { short: 'n', help: 'The same as -i native, which is refused' },
    offset: { short: 'o', value: 'OFFSET', parse: sizeValue, default: '0', help: 'Where on the disk to begin' },
    bufferSize: { short: 's', value: 'SIZE', parse: shortSizeValue, default: '4k', help: 'Bytes of a request' },
    step: {
      short: 'S',
      value: 'STEP',
      parse: shortSizeValue,
      help: 'Bytes from the start of one request to the next; by default (or 0) those of a request',
    },
    cache: {
      short: 't',
      value: 'CACHE',
      default: 'writeback',
      parse: cacheValue,
      help: 'Cache mode: none, writeback, writethrough, directsync or unsafe',
    },
    write: { short: 'w', help: 'Write; the content of the image is lost' },
    pattern: {
      long: 'pattern',
      value: 'BYTE',
      parse: integerValue(0, 255),
      default: '0',
      help: 'The byte that is written, 0 to 255',
    },
    flushInterval: {
      long: 'flush-interval',
      value: 'COUNT',
      parse: integerValue(0, MAX),
      default: '0',
      help: 'Flush after each COUNT writes, not fewer than -d',
    },
    noDrain: { long: 'no-drain', help: 'Go on writing while a flush waits' },
    quiet: { ...shared.quiet, help: 'Accepted for compatibility: the result is printed all the same' },
    forceShare: shared.forceShare,
    imageOpts: shared.imageOpts,
    ...chainOptions,
  },
  examples: [
    ['img bench -c 1000000 disk.qcow2', 'A million reads of 4 KiB, 64 at a time'],
    ['img bench -w -t none -s 64k --flush-interval=64 -f raw scratch.raw', 'Writes past the cache, with flushes'],
  ],
  run: ({ arguments: { file }, options }, io) =>
    withImages(io, options, async (images) => {
      const { count, depth, bufferSize: length, offset, write, flushInterval, forceShare, cache } = options;
      if (flushInterval > 0 && !write) throw new Usage("option '--flush-interval' needs -w: reads are not flushed");
      if (flushInterval > 0 && flushInterval < depth) {
        throw new Usage(`option '--flush-interval' expects at least the depth of ${depth}, not ${flushInterval}`);
      }
      const backend = await images.open(
        { name: file, format: options.format, imageOpts: options.imageOpts },
        {
          writable: write,
          operation: write ? operations.write.image : operations.read.image,
          forceShare,
          cache,
          aio: options.aio ?? (options.native ? 'native' : undefined),
        },
      );
      const kind = write ? 'write' : 'read';
      const step = options.step || length;
      io.stdout.write(
        `Sending ${count} ${kind} requests, ${length} bytes each, ${depth} in parallel ` +
          `(starting at offset ${offset}, step size ${step})\n`,
      );
      if (flushInterval > 0) io.stdout.write(`Sending flush every ${flushInterval} requests\n`);
      const settings = { kind, count, depth, length, offset, step, flushInterval, pattern: options.pattern } as const;
      const seconds = await benchmark(backend, { ...settings, drain: !options.noDrain, signal: io.signal });
      io.stdout.write(`Run completed in ${seconds.toFixed(3)} seconds.\n`);
      return 0;
    }),
});
