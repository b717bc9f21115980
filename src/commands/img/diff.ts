import { operations } from '../../core/block/graph/operations.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { type Difference, differences } from '../../core/job/comparison/differences.ts';
import type { Io } from '../cli/io.ts';
import { hex } from '../cli/output.ts';
import { startProgress } from '../cli/progress.ts';
import { command, withStatus } from '../cli/record.ts';
import { sizeValue } from '../cli/values.ts';
import { chainOptions, shared, withImages } from './open-image.ts';
import { twoImages } from './two-images.ts';

const DIFFERENT = 1;
const TROUBLE = 2;
const MAX_GRANULARITY = 1024 * 1024;

export const diff = command({
  name: 'diff',
  group: 'Look at images',
  summary: 'List where the content of two images differs',
  description: [
    'Whatever the formats, the disks are compared, all of them: one line for each range that differs. Areas without ' +
      'data count as zeroes, and so does what lies behind the end of the shorter image.',
    'A difference in size alone is none, as for compare.',
  ],
  arguments: twoImages.arguments,
  options: {
    ...twoImages.options,
    granularity: {
      short: 'g',
      long: 'granularity',
      value: 'SIZE',
      default: '512',
      parse: granularityValue,
      help: 'Ranges begin and end at multiples of this, a power of two up to 1M',
    },
    output: shared.output,
    sourceCache: shared.sourceCache,
    progress: shared.progress,
    quiet: { ...shared.quiet, help: 'Print nothing: the answer is the exit status' },
    forceShare: shared.forceShare,
    ...chainOptions,
  },
  statuses: [
    [0, 'There is no difference'],
    [DIFFERENT, 'The images differ'],
    [TROUBLE, 'An image could not be opened or read, or the command line is wrong'],
  ],
  usageStatus: TROUBLE,
  examples: [
    ['img diff yesterday.qcow2 today.qcow2', 'What has changed'],
    ['img diff --output=json -g 64k a.raw b.qcow2', 'In units of 64 KiB, for a program'],
  ],
  run: ({ arguments: { first, second }, options }, io) =>
    withImages(io, options, (images) =>
      withStatus(TROUBLE, async () => {
        const { forceShare, sourceCache: cache, imageOpts, progress: mode, quiet } = options;
        const settings = { forceShare, cache, operation: operations.read.image };
        const disks = [
          await images.open({ name: first, format: options.format, imageOpts }, settings),
          await images.open({ name: second, format: options.secondFormat, imageOpts }, settings),
        ] as const;
        using progress = await startProgress(io, { mode, quiet, phase: 'diff', step: 2 });
        const found = differences(disks, {
          granularity: options.granularity,
          signal: io.signal,
          progress: (done, total) => progress.update(done, total),
        });
        const count = await print(found, quiet ? 'none' : options.output, io);
        progress.finish();
        return count > 0 ? DIFFERENT : 0;
      }),
    ),
});

/** One line a range, in an array of objects or in a table; the number of ranges. */
async function print(found: AsyncIterable<Difference>, output: 'human' | 'json' | 'none', io: Io): Promise<number> {
  const json = output === 'json';
  let count = 0;
  if (json) io.stdout.write('[');
  for await (const { offset, length } of found) {
    if (output === 'none' || io.stdout.closed) return 1;
    if (json) io.stdout.write(`${count === 0 ? '' : ',\n'}{ "start": ${offset}, "length": ${length}}`);
    else {
      if (count === 0) io.stdout.write(`${'Offset'.padEnd(16)}Length\n`);
      io.stdout.write(`${hex(offset).padEnd(16)}${hex(length)}\n`);
    }
    count++;
  }
  if (json) io.stdout.write(']\n');
  return count;
}

function granularityValue(text: string, option: string): number {
  const value = sizeValue(text, option);
  if (value >= 1 && value <= MAX_GRANULARITY && Number.isInteger(Math.log2(value))) return value;
  throw new Usage(`${option} expects a power of two up to 1M, not '${text}'`);
}
