import type { Backend } from '../../core/block/backend/backend.ts';
import { addBitmap, clearBitmap, disableBitmap, enableBitmap, removeBitmap } from '../../core/block/bitmaps/index.ts';
import { operations } from '../../core/block/graph/operations.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { bitmapMergeJob } from '../../core/job/bitmap-merge.ts';
import { JobList } from '../../core/job/job-list.ts';
import { runJob } from '../../core/job/run-job.ts';
import type { Io } from '../cli/io.ts';
import { startProgress } from '../cli/progress.ts';
import { command } from '../cli/record.ts';
import { sizeValue } from '../cli/values.ts';
import { chainOptions, namingImage, type OpenImages, shared, withImages } from './open-image.ts';

export const bitmap = command({
  name: 'bitmap',
  group: 'Change images',
  summary: 'Make, change and remove the dirty bitmaps kept in an image',
  description: [
    'A dirty bitmap says which parts of the disk have been written to since it was made or cleared; backups that copy ' +
      'only what has changed go by it. It records while it is enabled.',
    'While an image is written to, its bitmaps are marked in use in it, from the first change of the disk on: who dies ' +
      'after that leaves bitmaps that can only be removed, who dies before it leaves them as they were.',
    'Several actions are carried out in the order in which they are given; when one fails, those behind it are not ' +
      'begun.',
  ],
  arguments: {
    file: { name: 'FILE', help: 'The image' },
    bitmap: { name: 'BITMAP', help: 'Name of the bitmap' },
  },
  options: {
    add: { long: 'add', repeat: true, help: 'Make the bitmap, clean and enabled' },
    remove: { long: 'remove', repeat: true, help: 'Remove it' },
    clear: { long: 'clear', repeat: true, help: 'Make it clean' },
    enable: { long: 'enable', repeat: true, help: 'Let it record' },
    disable: { long: 'disable', repeat: true, help: 'Let it record no more' },
    merge: {
      long: 'merge',
      value: 'SOURCE',
      repeat: true,
      help: 'Add what is dirty in the bitmap SOURCE, of the same image or that of -b',
    },
    sourceFile: {
      short: 'b',
      long: 'source-file',
      value: 'FILE',
      help: 'Image of the bitmap to be merged',
      needs: ['merge'],
    },
    sourceFormat: {
      short: 'F',
      long: 'source-format',
      value: 'FMT',
      help: 'Format of that image',
      needs: ['sourceFile'],
    },
    granularity: {
      short: 'g',
      long: 'granularity',
      value: 'SIZE',
      parse: sizeValue,
      help: 'Bytes that one bit stands for, a power of two from 512 to 2G; by default (or 0) the cluster size, 4k to 64k',
      needs: ['add'],
    },
    format: shared.format,
    imageOpts: shared.imageOpts,
    progress: shared.progress,
    quiet: shared.quiet,
    ...chainOptions,
  },
  examples: [
    ['img bitmap --add disk.qcow2 monday', 'Record what is written from now on'],
    ['img bitmap --add --disable -g 1M disk.qcow2 all', 'With a granularity of 1 MiB, not recording yet'],
    ['img bitmap --merge monday -b old.qcow2 disk.qcow2 all', 'Add the bitmap monday of another image'],
  ],
  run: ({ arguments: { file, bitmap: name }, options, given }, io) =>
    withImages(io, options, async (images) => {
      const actions = given.filter(({ key }) => isAction(key));
      if (actions.length === 0) {
        throw new Usage('one of --add, --remove, --clear, --enable, --disable and --merge is needed');
      }
      const request = { name: file, format: options.format, imageOpts: options.imageOpts };
      const target = await images.open(request, {
        writable: true,
        noBacking: true,
        operation: operations['change-bitmaps'].image,
      });
      const source = await openSource(images, options.sourceFile, options.sourceFormat);
      const work: Work = { target, source, name, granularity: options.granularity || undefined };
      for (const { key, value } of actions) {
        try {
          await act(work, key as Action, value, { io, options });
        } catch (error) {
          throw namingImage(file, error, `${key} bitmap '${name}' in`);
        }
      }
      return 0;
    }),
});

interface Work {
  readonly target: Backend;
  /** The image of the bitmaps to be merged. */
  readonly source: Backend | undefined;
  readonly name: string;
  readonly granularity: number | undefined;
}

interface Surface {
  readonly io: Io;
  readonly options: { readonly progress: 'human' | 'json' | undefined; readonly quiet: boolean };
}

const ACTIONS = ['add', 'remove', 'clear', 'enable', 'disable', 'merge'] as const;
type Action = (typeof ACTIONS)[number];

function isAction(key: string): key is Action {
  return (ACTIONS as readonly string[]).includes(key);
}

/** Always a plain name, also where the image itself is described by options. */
async function openSource(
  images: OpenImages,
  file: string | undefined,
  format: string | undefined,
): Promise<Backend | undefined> {
  return file === undefined ? undefined : images.open({ name: file, format }, { noBacking: true });
}

async function act(work: Work, action: Action, value: string | undefined, surface: Surface): Promise<void> {
  const { name, granularity } = work;
  const node = work.target.image;
  if (action === 'add') await addBitmap(node, name, { granularity, persistent: true });
  else if (action === 'remove') await removeBitmap(node, name);
  else if (action === 'clear') await clearBitmap(node, name);
  else if (action === 'enable') await enableBitmap(node, name);
  else if (action === 'disable') await disableBitmap(node, name);
  else await merge(work, value ?? '', surface);
}

async function merge({ target, source, name }: Work, from: string, { io, options }: Surface): Promise<void> {
  const sources = [{ node: (source ?? target).image, name: from }];
  const job = bitmapMergeJob(new JobList(), { node: target.image, name, sources });
  const progress = await startProgress(io, { mode: options.progress, quiet: options.quiet, phase: 'merge' });
  try {
    job.events.on('progress', ({ done, total }) => progress.update(done, total));
    await runJob(job, { signal: io.signal });
    progress.finish();
  } finally {
    progress[Symbol.dispose]();
  }
}
