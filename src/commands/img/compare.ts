import type { Backend } from '../../core/block/backend/backend.ts';
import { withContext } from '../../core/errors/block-error.ts';
import { type Comparison, compareImages } from '../../core/job/comparison/compare-images.ts';
import type { Io } from '../cli/io.ts';
import { startProgress } from '../cli/progress.ts';
import { command, Failure, withStatus } from '../cli/record.ts';
import { report } from '../cli/report.ts';
import { chainOptions, shared, withImages } from './open-image.ts';
import { twoImages } from './two-images.ts';

const DIFFERENT = 1;
/** Wrong use, or an image that cannot be opened; no such thing may look like "different". */
const TROUBLE = 2;
const NO_STATUS = 3;
const NO_DATA = 4;

export const compare = command({
  name: 'compare',
  group: 'Look at images',
  summary: 'Compare the content of two images',
  description: [
    'Whatever the formats, the disks are compared. Areas without data count as zeroes. Images of different size ' +
      'are the same, but for a warning, when the longer one has nothing but zeroes behind the end of the shorter.',
    'Where the contents differ, the offset of the first sector (512 bytes) that differs is printed.',
  ],
  arguments: twoImages.arguments,
  options: {
    ...twoImages.options,
    strict: { short: 's', long: 'strict', help: 'Sizes must agree, and what is allocated, data or zeroes, too' },
    sourceCache: shared.sourceCache,
    progress: shared.progress,
    quiet: shared.quiet,
    forceShare: shared.forceShare,
    ...chainOptions,
  },
  statuses: [
    [0, 'The images are the same'],
    [DIFFERENT, 'They differ'],
    [TROUBLE, 'An image could not be opened, or the command line is wrong'],
    [NO_STATUS, 'It could not be found out what is allocated'],
    [NO_DATA, 'Data could not be read'],
  ],
  usageStatus: TROUBLE,
  examples: [
    ['img compare disk.raw disk.qcow2', 'Is the content the same'],
    ['img compare -s -f qcow2 -F qcow2 a.qcow2 b.qcow2', 'Are sizes and allocation the same too'],
  ],
  run: ({ arguments: { first, second }, options }, io) =>
    withImages(io, { ...options, openStatus: TROUBLE }, async (images) => {
      const { forceShare, sourceCache: cache, imageOpts } = options;
      const open = (name: string, format: string | undefined) =>
        withStatus(TROUBLE, () => images.open({ name, format, imageOpts }, { forceShare, cache }));
      const disks = [await open(first, options.format), await open(second, options.secondFormat)] as const;
      const say = (line: string) => (options.quiet ? undefined : io.stdout.write(`${line}\n`));
      const sizesDiffer = disks[0].size !== disks[1].size;
      if (options.strict && sizesDiffer) {
        say('Strict mode: Image size mismatch!');
        return DIFFERENT;
      }
      const result = await comparison(disks, options, io);
      const common = Math.min(disks[0].size, disks[1].size);
      const warnOfSizes = () => {
        if (sizesDiffer && (result.kind === 'same' || result.offset >= common)) say('Warning: Image size mismatch!');
      };
      if (result.kind === 'failed') {
        // Where the answer cannot be had, why comes first.
        const status = report(failure(result, result.side === 0 ? first : second), io);
        warnOfSizes();
        return status;
      }
      warnOfSizes();
      return conclude(result, say);
    }),
});

async function comparison(
  [first, second]: readonly [Backend, Backend],
  options: { readonly strict: boolean; readonly progress: 'human' | 'json' | undefined; readonly quiet: boolean },
  io: Io,
): Promise<Comparison> {
  const { strict, quiet, progress: mode } = options;
  using progress = await startProgress(io, { mode, quiet, phase: 'compare', step: 2 });
  const result = await compareImages(first, second, {
    strict,
    signal: io.signal,
    progress: (done, total) => progress.update(done, total),
  });
  if (result.kind === 'same') progress.finish();
  return result;
}

/** The line that says how it ended, and the exit status. */
function conclude(result: Exclude<Comparison, Failed>, say: (line: string) => void): number {
  if (result.kind === 'same') say('Images are identical.');
  else if (result.kind === 'content') say(`Content mismatch at offset ${result.offset}!`);
  else say(`Strict mode: Offset ${result.offset} block status mismatch!`);
  return result.kind === 'same' ? 0 : DIFFERENT;
}

type Failed = Comparison & { readonly kind: 'failed' };

function failure({ stage, offset, error }: Failed, name: string): Failure {
  if (stage === 'read') {
    return new Failure(NO_DATA, withContext(`Could not read '${name}' at offset ${offset}`, error));
  }
  return new Failure(NO_STATUS, withContext(`Could not find out what '${name}' holds at offset ${offset}`, error));
}
