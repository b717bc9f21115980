import type { cacheMode } from '../../core/block/backend/cache-mode.ts';
import { operations } from '../../core/block/graph/operations.ts';
import { entryOf } from '../../core/block/graph/spec.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { amendJob, amendOptions } from '../../core/job/amend-job.ts';
import { JobList } from '../../core/job/job-list.ts';
import { runJob } from '../../core/job/run-job.ts';
import { driverList } from '../../drivers/index.ts';
import type { Io } from '../cli/io.ts';
import { startProgress } from '../cli/progress.ts';
import { command } from '../cli/record.ts';
import { amendHelp, readCreationOptions, type Typed } from './creation-options.ts';
import { chainOptions, namingImage, type OpenImages, shared, withImages } from './open-image.ts';

export const amend = command({
  name: 'amend',
  group: 'Change images',
  summary: 'Change options of an existing image',
  description: [
    'What can be changed depends on the format: the version and the width of reference counts of qcow2, the passwords ' +
      "of encrypted images, and so on. 'img amend -f FMT -o help' lists the options.",
    'Of an image in the format luks, state=active,new-secret=ID adds a password (the image is opened with the ' +
      'one that its key-secret names, so give it by --image-opts); state=inactive,old-secret=ID takes one away.',
  ],
  arguments: { file: { name: 'FILE', help: 'The image', optional: true } },
  options: {
    options: {
      short: 'o',
      long: 'options',
      value: 'NAME=VALUE,…',
      repeat: true,
      offers: 'amend-options',
      help: "What to change; '-o help' lists the options",
    },
    format: shared.format,
    imageOpts: shared.imageOpts,
    cache: { ...shared.targetCache, default: 'writeback' },
    force: { long: 'force', help: 'Do also what may make data unreachable, such as erasing the last password' },
    progress: shared.progress,
    quiet: shared.quiet,
    ...chainOptions,
  },
  examples: [
    ['img amend -o compat=1.1,lazy_refcounts=on disk.qcow2', 'Make use of version 3 of qcow2'],
    [
      'img amend --object secret,id=old,file=old.txt --object secret,id=new,file=new.txt --image-opts ' +
        'driver=luks,file.filename=disk.luks,key-secret=old -o state=active,new-secret=new',
      'Let another password open an encrypted image',
    ],
    ['img amend -f qcow2 -o help', 'The options there are'],
  ],
  async run({ arguments: { file }, options }, io) {
    if (options.options.length === 0) {
      throw new Usage('nothing to change is given', { hint: "Give it with -o, such as '-o compat=1.1'" });
    }
    const typed = readCreationOptions(options.options);
    if (!typed && options.format !== undefined) {
      io.stdout.write(amendHelp(await entryOf(driverList, options.format).load()));
      return 0;
    }
    if (file === undefined) throw new Usage('argument FILE is missing');
    return await withImages(io, options, async (images) => {
      if (typed) return await amendImage(images, { ...options, file, typed }, io);
      const backend = await images.open(
        { ...options, name: file },
        { operation: operations.inspect.image, noBacking: true, noIo: true },
      );
      io.stdout.write(amendHelp(backend.image.driver));
      return 0;
    });
  },
});

interface Request {
  readonly file: string;
  readonly typed: Typed;
  readonly format: string | undefined;
  readonly imageOpts: boolean;
  readonly cache: ReturnType<typeof cacheMode>;
  readonly force: boolean;
  readonly progress: 'human' | 'json' | undefined;
  readonly quiet: boolean;
}

async function amendImage(images: OpenImages, { file, typed, ...request }: Request, io: Io): Promise<number> {
  const backend = await images.open(
    { name: file, format: request.format, imageOpts: request.imageOpts },
    { operation: operations.amend.image, writable: true, cache: request.cache },
  );
  amendOptions(backend.image.driver);
  using progress = await startProgress(io, { mode: request.progress, quiet: request.quiet, phase: 'amend' });
  const { objects, settings } = images.graph;
  const job = amendJob(new JobList(), { backend, options: typed, force: request.force, objects, warn: settings.warn });
  job.events.on('progress', ({ done, total }) => progress.update(done, total));
  try {
    await runJob(job, { signal: io.signal });
  } catch (error) {
    throw namingImage(file, error, 'amend');
  }
  progress.finish();
  return 0;
}
