import { operations } from '../../core/block/graph/operations.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { convert as convertImages } from '../../core/job/convert.ts';
import type { Job } from '../../core/job/job.ts';
import { type Io, warn } from '../cli/io.ts';
import { PROGRESS_OPTION, type Progress, startProgress } from '../cli/progress.ts';
import { command } from '../cli/record.ts';
import { traced } from '../cli/trace-option.ts';
import { integerValue, sizeValue } from '../cli/values.ts';
import { type ConvertFlags, copySettings, refuseContradictions, targetOf } from './convert-flags.ts';
import {
  CREATION_OPTION,
  creationHelp,
  OUTPUT_FORMAT_OPTION,
  readCreationOptions,
  type Typed,
} from './creation-options.ts';
import { chainOptions, type OpenImages, shared, withImages } from './open-image.ts';

export const convert = command({
  name: 'convert',
  group: 'Make images',
  summary: 'Copy disks into a new image, or one that exists, of any format',
  description: [
    'Several sources are copied one behind the other and make one disk. Data is copied, holes stay holes, and runs of ' +
      'zeroes become holes where the target can have them.',
    'The copy is parallel: up to -m requests are under way at any time. They begin in the order of the disk, so that ' +
      'a growing target is laid out in that order, and is the same each time. -W drops even that: the content and what ' +
      'is allocated are the same, but not where it lies. So they are with -C, where the kernel takes some of the data and ' +
      'not all of it.',
    'When the copy fails, the target is left as far as it came. What is read is dropped from the page cache again, ' +
      'unless it was there before; --cache-manners=off leaves that be.',
  ],
  arguments: {
    sources: { name: 'SOURCE', help: 'Images to copy', repeat: true, optional: true, offers: 'file' },
    target: { name: 'TARGET', help: 'Image to make; with -n, image to overwrite', optional: true },
  },
  options: {
    format: { ...shared.format, long: 'source-format', help: 'Format of the sources; guessed when not given' },
    outputFormat: { ...OUTPUT_FORMAT_OPTION, conflicts: ['targetImageOpts'] },
    create: { ...CREATION_OPTION, conflicts: ['noCreate'] },
    compress: { short: 'c', help: 'Store the data compressed', conflicts: ['offload'] },
    noCreate: { short: 'n', help: 'The target exists: do not make it' },
    progress: PROGRESS_OPTION,
    quiet: shared.quiet,
    targetCache: { ...shared.targetCache, default: 'unsafe' },
    sourceCache: shared.sourceCache,
    sparse: {
      short: 'S',
      value: 'SIZE',
      parse: sizeValue,
      help: 'Zeroes at least this long become holes, a multiple of 512, 4k by default; 0 writes everything',
      conflicts: ['offload'],
    },
    parallel: {
      short: 'm',
      value: 'COUNT',
      parse: integerValue(1, 16),
      help: 'Requests under way at any time, 1 to 16, 8 by default',
    },
    unordered: { short: 'W', help: 'Let writes begin in any order' },
    rate: {
      short: 'r',
      value: 'RATE',
      parse: sizeValue,
      help: 'Copy at most this many bytes per second; 0 for no limit',
    },
    offload: { short: 'C', help: 'Have the kernel copy where it can', conflicts: ['salvage'] },
    backing: { short: 'B', value: 'FILE', help: 'Make the target an overlay of FILE: what lies below is not copied' },
    backingFormat: { short: 'F', value: 'FMT', help: 'Format of the backing file' },
    forceShare: shared.forceShare,
    targetIsZero: { long: 'target-is-zero', help: 'The target reads as zeroes: write none', needs: ['noCreate'] },
    salvage: { long: 'salvage', help: 'Put zeroes where the source cannot be read, and go on' },
    imageOpts: shared.imageOpts,
    targetImageOpts: {
      long: 'target-image-opts',
      help: 'TARGET is a list of options, not a name',
      needs: ['noCreate'],
    },
    snapshot: shared.snapshot,
    bitmaps: { long: 'bitmaps', help: 'Copy the bitmaps kept in the image too' },
    skipBroken: { long: 'skip-broken-bitmaps', help: 'Leave out broken bitmaps', needs: ['bitmaps'] },
    ...chainOptions,
    verify: {
      long: 'verify',
      help: 'Read the target again, from its medium, and compare it with what was read of the sources',
      conflicts: ['offload'],
    },
    cacheManners: {
      long: 'cache-manners',
      value: 'auto|off',
      choices: ['auto', 'off'],
      default: 'auto',
      help: 'Whether the page cache is left as it was found',
    },
  },
  examples: [
    ['img convert -O qcow2 disk.raw disk.qcow2', 'A raw disk as qcow2'],
    ['img convert -p -c -O qcow2 -o compression_type=zstd disk.qcow2 small.qcow2', 'Compressed, with progress'],
    ['img convert -n -O raw disk.qcow2 /dev/sdx', 'On a device'],
    ['img convert -O qcow2 -o help', 'What can be given with -o'],
  ],
  run: ({ arguments: { sources, target }, options }, io) =>
    withImages(io, options, async (images) => {
      const names = target === undefined ? sources : [...sources, target];
      const create = readCreationOptions(options.create);
      if (!create) {
        io.stdout.write(await creationHelp(images.graph, options.outputFormat, names.at(-1)));
        return 0;
      }
      const to = names.at(-1);
      if (to === undefined || names.length < 2) throw new Usage('a SOURCE and a TARGET are needed');
      refuseContradictions(options, names.length - 1);
      await run(images, { flags: options, create, from: names.slice(0, -1), to }, io);
      return 0;
    }),
});

interface Words {
  readonly flags: ConvertFlags;
  readonly create: Typed;
  readonly from: readonly string[];
  readonly to: string;
}

async function run(images: OpenImages, { flags, create, from, to }: Words, io: Io): Promise<void> {
  const named = targetOf(flags, create, to);
  const target = { ...named, spec: traced(named.spec, images.traceFile) };
  const sources = [];
  for (const name of from) {
    const request = { name, format: flags.format, imageOpts: flags.imageOpts };
    sources.push(
      await images.open(request, {
        operation: operations.mirror.source,
        forceShare: flags.forceShare,
        cache: flags.sourceCache,
        snapshot: flags.snapshot,
      }),
    );
  }
  const progress = await startProgress(io, { mode: flags.progress, quiet: flags.quiet, phase: 'convert' });
  try {
    await convertImages(images.graph, {
      ...copySettings(flags),
      sources,
      target,
      signal: io.signal,
      countsData: flags.progress !== undefined && !flags.quiet,
      onJob: (job) => show(job, progress),
      warn: (message) => (flags.quiet ? undefined : warn(io, message)),
    });
    progress.finish();
  } finally {
    progress[Symbol.dispose]();
  }
}

/** Updates for which it is worth to look at the clock. */
const STEPS = 1000;

function show(job: Job, progress: Progress): void {
  if (job.type !== 'mirror' && job.type !== 'verify') return;
  if (job.type === 'verify') progress.phase('verify');
  let next = 0;
  job.events.on('progress', ({ done, total }) => {
    if (done < next && done < total) return;
    next = done + total / STEPS;
    progress.update(done, total);
  });
}
