import type { CheckResult } from '../../core/block/driver.ts';
import { NotSupported } from '../../core/errors/block-error.ts';
import type { Io } from '../cli/io.ts';
import { prettyJson } from '../cli/output.ts';
import { command, Failure } from '../cli/record.ts';
import { shared, withImages } from './open-image.ts';

/** Exit statuses beside 0 and 1. */
const CORRUPT = 2;
const LEAKING = 3;
const NO_CHECK = 63;

export const check = command({
  name: 'check',
  group: 'Look at images',
  summary: 'Check the structure of an image for errors',
  description: [
    'Reads the metadata and reports what contradicts itself. Errors endanger data; leaked clusters only waste ' +
      'space. What is wrong in detail is said on standard error. The image is opened for reading, and no file ' +
      'that it names is opened.',
    'Repairing (-r) is not supported by this version.',
  ],
  arguments: { file: { name: 'FILE', help: 'The image' } },
  options: {
    format: shared.format,
    imageOpts: shared.imageOpts,
    output: shared.output,
    repair: {
      short: 'r',
      long: 'repair',
      value: 'leaks|all',
      choices: ['leaks', 'all'],
      help: 'Repair leaked clusters, or all that can be; refused by this version',
    },
    sourceCache: shared.sourceCache,
    quiet: shared.quiet,
    forceShare: shared.forceShare,
    objects: shared.objects,
  },
  statuses: [
    [0, 'The image is consistent'],
    [1, 'The check could not be made, or not to its end'],
    [CORRUPT, 'There are errors in the image'],
    [LEAKING, 'There are leaked clusters, but no errors'],
    [NO_CHECK, 'The format of the image has no check'],
  ],
  examples: [
    ['img check disk.qcow2', 'Is the image sound'],
    ['img check -q disk.qcow2 || echo damaged', 'The answer in the exit status alone'],
  ],
  run: ({ arguments: { file }, options }, io) =>
    withImages(io, { refs: 'none', objects: options.objects }, async (images) => {
      if (options.repair !== undefined)
        throw new NotSupported('repairing images (-r) is not supported by this version');
      const request = { name: file, format: options.format, imageOpts: options.imageOpts };
      const { forceShare, sourceCache: cache } = options;
      // Without data I/O: the metadata is all in the image itself, and an external data file need not be there.
      const { image } = await images.open(request, { forceShare, cache, noBacking: true, noIo: true });
      if (!image.image.check) {
        throw new Failure(NO_CHECK, new NotSupported('This image format does not support checks'));
      }
      const result = await image.image.check.run({
        repair: 'none',
        report: (line) => io.stderr.write(`${line}\n`),
        signal: io.signal,
      });
      if (!options.quiet) print(result, { filename: file, format: image.driver.name }, options.output, io);
      return statusOf(result, io);
    }),
});

function statusOf(result: CheckResult, io: Io): number {
  if (result.checkErrors > 0) {
    io.stderr.write(`${io.programName}: Check failed\n`);
    return 1;
  }
  if (result.corruptions > 0) return CORRUPT;
  return result.leaks > 0 ? LEAKING : 0;
}

interface Identity {
  readonly filename: string;
  readonly format: string;
}

function print(result: CheckResult, identity: Identity, output: 'human' | 'json', io: Io): void {
  io.stdout.write(output === 'json' ? `${prettyJson(record(result, identity))}\n` : `${lines(result).join('\n')}\n`);
}

/** ImageCheck of the control socket's schema: counts that are 0 are left out, but for check-errors. */
function record(result: CheckResult, { filename, format }: Identity): Readonly<Record<string, unknown>> {
  return {
    'image-end-offset': result.imageEndOffset || undefined,
    'compressed-clusters': result.compressedClusters || undefined,
    'total-clusters': result.totalClusters || undefined,
    corruptions: result.corruptions || undefined,
    'corruptions-fixed': result.corruptionsFixed || undefined,
    'check-errors': result.checkErrors,
    leaks: result.leaks || undefined,
    'leaks-fixed': result.leaksFixed || undefined,
    'allocated-clusters': result.allocatedClusters || undefined,
    filename,
    format,
    'fragmented-clusters': result.fragmentedClusters || undefined,
  };
}

function lines(result: CheckResult): string[] {
  const { corruptions, leaks, checkErrors } = result;
  const found: string[] = [];
  if (corruptions > 0) {
    found.push('', `${corruptions} errors were found on the image.`);
    found.push('Data may be corrupted, or further writes to the image may corrupt it.');
  }
  if (leaks > 0) {
    found.push('', `${leaks} leaked clusters were found on the image.`);
    found.push('This means waste of disk space, but no harm to data.');
  }
  if (checkErrors > 0) found.push('', `${checkErrors} internal errors have occurred during the check.`);
  if (found.length === 0) found.push('No errors were found on the image.');
  return [...found, ...usageLines(result)];
}

function usageLines(result: CheckResult): string[] {
  const { totalClusters: total = 0, allocatedClusters: allocated = 0 } = result;
  const { fragmentedClusters: fragmented = 0, compressedClusters: compressed = 0, imageEndOffset = 0 } = result;
  const usage =
    total === 0 || allocated === 0
      ? []
      : [
          `${allocated}/${total} = ${percent(allocated, total)}% allocated, ` +
            `${percent(fragmented, allocated)}% fragmented, ${percent(compressed, allocated)}% compressed clusters`,
        ];
  return imageEndOffset === 0 ? usage : [...usage, `Image end offset: ${imageEndOffset}`];
}

/** C's `%.2f`: what lies half-way between two roundings goes to the even one. */
function percent(part: number, whole: number): string {
  const value = (part * 100) / whole;
  const [, last = ''] = /\.\d(\d)50*$/.exec(value.toFixed(60)) ?? [];
  return (last !== '' && Number(last) % 2 === 0 ? value * (1 - Number.EPSILON) : value).toFixed(2);
}
