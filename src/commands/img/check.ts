import type { Backend } from '../../core/block/backend/backend.ts';
import type { CheckResult } from '../../core/block/driver.ts';
import { operations } from '../../core/block/graph/operations.ts';
import { BlockError, Cancelled, NotSupported, Usage } from '../../core/errors/block-error.ts';
import { checkJob } from '../../core/job/check-job.ts';
import { JobList } from '../../core/job/job-list.ts';
import { runJob } from '../../core/job/run-job.ts';
import { type Io, warn } from '../cli/io.ts';
import { prettyJson } from '../cli/output.ts';
import { command, Failure } from '../cli/record.ts';
import { report } from '../cli/report.ts';
import { checkLines, checkRecord, type Repaired, repairableLines, repairedLines } from './check-text.ts';
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
      'space. What is wrong in detail is said on standard error. No file that the image names is opened.',
    'With -r the image is repaired as far as that changes nothing in what the disk holds, and then checked again; the ' +
      'result and the exit status are those of the second check. An entry that points where no data can be is only ' +
      'reported. A repair can be broken off at any moment and run again.',
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
      help: 'Repair leaked clusters only, or all that can be repaired',
    },
    dryRun: {
      long: 'dry-run',
      help: 'With -r, say what would be repaired and change nothing; the exit status is that of a check without -r',
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
    ['img check -r all disk.qcow2', 'Repair what can be repaired'],
    ['img check -r all --dry-run --output=json disk.qcow2', 'What could be'],
    ['img check -q disk.qcow2 || echo damaged', 'The answer in the exit status alone'],
  ],
  run: ({ arguments: { file }, options }, io) =>
    withImages(io, { refs: 'none', objects: options.objects }, async (images) => {
      const { repair, dryRun, forceShare, sourceCache: cache, quiet, output } = options;
      if (dryRun && repair === undefined) throw new Usage('--dry-run is about a repair: give -r leaks or -r all too');
      const request = { name: file, format: options.format, imageOpts: options.imageOpts };
      const writable = repair !== undefined && !dryRun;
      // Without data I/O: the metadata is all in the image itself, and an external data file need not be there.
      const image = await images.open(request, {
        forceShare,
        cache,
        noBacking: true,
        noIo: true,
        writable,
        operation: writable ? operations.write.image : operations.read.image,
        modes: { forRepair: true, unmap: true },
      });
      if (!image.image.image.check) {
        throw new Failure(NO_CHECK, new NotSupported('This image format does not support checks'));
      }
      const print = (lines: readonly string[]): void => {
        if (!quiet && output === 'human') io.stdout.write(`${lines.join('\n')}\n`);
      };
      const run = new Checks(image, io);
      const identity = { filename: file, format: image.image.driver.name };
      if (repair === undefined || dryRun) {
        const result = await run.check();
        const repairable = repair && (await run.rehearse(repair));
        if (repairable && isAnything(repairable)) print(repairableLines(repairable));
        print(checkLines(result));
        if (!quiet && output === 'json') io.stdout.write(`${prettyJson(checkRecord(result, identity, repairable))}\n`);
        return statusOf(result, io);
      }
      const first = await run.repair(repair);
      const { corruptionsFixed, leaksFixed } = first;
      const repaired = isAnything(first);
      if (repaired) print(repairedLines(first));
      const result = repaired ? { ...(await run.check()), corruptionsFixed, leaksFixed } : first;
      print(checkLines(result));
      if (!quiet && output === 'json') io.stdout.write(`${prettyJson(checkRecord(result, identity))}\n`);
      return statusOf(result, io);
    }),
});

function isAnything({ corruptionsFixed, leaksFixed }: Repaired): boolean {
  return corruptionsFixed + leaksFixed > 0;
}

/** The passes over an image. */
class Checks {
  readonly #image: Backend;
  readonly #io: Io;

  constructor(image: Backend, io: Io) {
    this.#image = image;
    this.#io = io;
  }

  check(): Promise<CheckResult> {
    return this.#run('none', false, (line) => this.#say(line)).catch((error: unknown) => this.#failed(error));
  }

  async repair(repair: 'leaks' | 'all'): Promise<CheckResult> {
    return this.#run(repair, false, (line) => this.#say(line)).catch((error: unknown) => {
      if (!(error instanceof NotSupported)) return this.#failed(error);
      throw new Failure(NO_CHECK, error);
    });
  }

  /** What kept the check from being made comes before the line that every check without a result ends with. */
  #failed(error: unknown): never {
    if (error instanceof Cancelled || !(error instanceof BlockError)) throw error;
    report(error, this.#io);
    throw new Failure(1, new BlockError('Check failed', { cause: error }));
  }

  /** What a repair would do; undefined, with a warning, when it would fail. Errors as such have been said before. */
  async rehearse(repair: 'leaks' | 'all'): Promise<Repaired | undefined> {
    const announce = (line: string): void => {
      const [, verb = '', what = ''] = /^(Repair|Rebuild|Discard)ing (.*)$/.exec(line) ?? [];
      if (verb !== '') this.#say(`Would ${verb.toLowerCase()} ${what}`);
    };
    try {
      return await this.#run(repair, true, announce);
    } catch (error) {
      if (error instanceof Cancelled || !(error instanceof BlockError)) throw error;
      warn(this.#io, `a repair would fail: ${error.message}`);
      return undefined;
    }
  }

  #say(line: string): void {
    this.#io.stderr.write(`${line}\n`);
  }

  async #run(repair: 'none' | 'leaks' | 'all', dryRun: boolean, report: (line: string) => void): Promise<CheckResult> {
    const { job, body } = checkJob(new JobList(), { image: this.#image, repair, dryRun, report });
    await runJob(job, { signal: this.#io.signal });
    return body.result;
  }
}

function statusOf(result: CheckResult, io: Io): number {
  if (result.checkErrors > 0) {
    io.stderr.write(`${io.programName}: Check failed\n`);
    return 1;
  }
  if (result.corruptions > 0) return CORRUPT;
  return result.leaks > 0 ? LEAKING : 0;
}
