import type { CacheMode } from '../../core/block/backend/cache-mode.ts';
import { operations } from '../../core/block/graph/operations.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { type ChecksumAlgorithm, checksumAlgorithms, checksumJob } from '../../core/job/checksum/checksum-job.ts';
import { JobList } from '../../core/job/job-list.ts';
import { runJob } from '../../core/job/run-job.ts';
import type { Io } from '../cli/io.ts';
import { prettyJson } from '../cli/output.ts';
import { startProgress } from '../cli/progress.ts';
import { command, withStatus } from '../cli/record.ts';
import { chainOptions, type OpenImages, shared, withImages } from './open-image.ts';

const DIFFERENT = 1;
const TROUBLE = 2;

export const checksum = command({
  name: 'checksum',
  group: 'Look at images',
  summary: 'Print a checksum of the content of a disk',
  description: [
    'The checksum is of what a guest would read, whatever the format, the compression or the place: a raw file, a ' +
      'qcow2 image with backing files and an export of the same disk have the same one. Areas that are known to ' +
      'be zeroes are not read.',
    'It is a hash tree, which anybody can compute: the disk is cut into blocks of 65536 bytes, of which the last may ' +
      'be shorter, and these are the entries of the Merkle Tree Hash of RFC 6962, section 2.1, with the hash function ' +
      'of the algorithm in place of SHA-256. So a leaf is H(0x00 || block); a node is H(0x01 || left || right), where ' +
      'left covers the largest power of two of blocks that is less than their number; and the checksum of a disk ' +
      'of no bytes is H of nothing.',
    'The line is ALGORITHM-tree:HEX. With several images, two spaces and the name follow.',
  ],
  arguments: { files: { name: 'FILE', help: 'Images', repeat: true } },
  options: {
    format: { ...shared.format, help: 'Format of the images; guessed from their content when not given' },
    imageOpts: shared.imageOpts,
    algorithm: {
      short: 'a',
      long: 'algorithm',
      value: 'NAME',
      choices: checksumAlgorithms,
      default: 'sha256',
      help: `Hash function: ${checksumAlgorithms.join(', ')}`,
    },
    expect: {
      long: 'expect',
      value: 'SUM',
      help: `Compare with this line or its HEX part, and end with ${DIFFERENT} where it is another`,
    },
    output: shared.output,
    sourceCache: shared.sourceCache,
    progress: shared.progress,
    quiet: shared.quiet,
    forceShare: shared.forceShare,
    ...chainOptions,
  },
  statuses: [
    [0, 'Done, and as expected'],
    [DIFFERENT, 'The checksum is not the expected one'],
    [TROUBLE, 'An image could not be opened or read, or the command line is wrong'],
  ],
  usageStatus: TROUBLE,
  examples: [
    ['img checksum disk.qcow2', 'The checksum of a disk'],
    ['img checksum disk.raw nbd://host/disk', 'Of the original and of the copy'],
    ['img checksum --expect sha256-tree:6e34…0b1d disk.qcow2', 'Is it still the same'],
  ],
  run: ({ arguments: { files }, options }, io) =>
    withImages(io, options, (images) =>
      withStatus(TROUBLE, async () => {
        const expected = options.expect === undefined ? undefined : readExpected(options.expect, options.algorithm);
        const found: Found[] = [];
        for (const file of files) {
          const sum = await checksumOf(images, { ...options, name: file }, io);
          found.push(sum);
          if (!options.quiet && options.output === 'human') {
            io.stdout.write(`${sum.checksum}${files.length > 1 ? `  ${file}` : ''}\n`);
          }
        }
        if (!options.quiet && options.output === 'json') io.stdout.write(`${prettyJson(found)}\n`);
        const other = found.find((sum) => expected !== undefined && sum.checksum !== expected);
        if (!other) return 0;
        io.stderr.write(`${io.programName}: '${other.filename}' has not the expected checksum ${expected}\n`);
        return DIFFERENT;
      }),
    ),
});

interface Found {
  readonly filename: string;
  readonly 'virtual-size': number;
  readonly algorithm: string;
  readonly checksum: string;
}

interface Request {
  readonly name: string;
  readonly format: string | undefined;
  readonly imageOpts: boolean;
  readonly algorithm: ChecksumAlgorithm;
  readonly forceShare: boolean;
  readonly quiet: boolean;
  readonly progress: 'human' | 'json' | undefined;
  readonly sourceCache: CacheMode | undefined;
}

async function checksumOf(images: OpenImages, request: Request, io: Io): Promise<Found> {
  const { algorithm, forceShare, quiet, progress: mode, sourceCache: cache } = request;
  const operation = operations['read-stable'].image;
  const disk = await images.open(request, { forceShare, cache, operation });
  const { size } = disk;
  using progress = await startProgress(io, { mode, quiet, phase: 'checksum' });
  const { job, body } = checksumJob(new JobList(), { disk, algorithm });
  await runJob(job, {
    signal: io.signal,
    onJob: () => job.events.on('progress', ({ done, total }) => progress.update(done, total)),
  });
  progress.finish();
  return { filename: request.name, 'virtual-size': size, algorithm, checksum: `${algorithm}-tree:${body.digest}` };
}

/** The line that is expected, from itself or its digits. */
function readExpected(text: string, algorithm: string): string {
  const [, named = algorithm, digits = ''] = /^(?:([a-z0-9-]+)-tree:)?([0-9a-f]+)$/i.exec(text) ?? [];
  if (digits === '') throw new Usage(`--expect wants a checksum such as ${algorithm}-tree:HEX, not '${text}'`);
  if (named !== algorithm) throw new Usage(`--expect is a checksum with ${named}, but the algorithm is ${algorithm}`);
  return `${algorithm}-tree:${digits.toLowerCase()}`;
}
