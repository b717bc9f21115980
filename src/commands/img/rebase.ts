import type { Backend } from '../../core/block/backend/backend.ts';
import type { CacheMode } from '../../core/block/backend/cache-mode.ts';
import { resolveName } from '../../core/block/graph/file-name.ts';
import { nodeInFile } from '../../core/block/graph/files.ts';
import type { Node } from '../../core/block/graph/node.ts';
import { realName } from '../../core/block/graph/opening.ts';
import { operations } from '../../core/block/graph/operations.ts';
import { BlockError, Usage, withContext } from '../../core/errors/block-error.ts';
import { assertBackingFormat } from '../../core/job/backing-file.ts';
import { JobList } from '../../core/job/job-list.ts';
import { rebaseJob } from '../../core/job/rebase/rebase-job.ts';
import { recordBase } from '../../core/job/record-base.ts';
import { command } from '../cli/record.ts';
import { chainOptions, imageSpec, namingImage, type OpenImages, shared, withImages } from './open-image.ts';
import { runWithProgress } from './run-with-progress.ts';

export const rebase = command({
  name: 'rebase',
  group: 'Change images',
  summary: 'Give an image another backing file',
  description: [
    'FILE shows the same disk as before: where the new backing file has something else than the old one, and FILE ' +
      'nothing of its own, the old content is written to FILE first. Interrupted at any moment, FILE still shows it.',
    'With -u only the name in the header is changed, for a backing file that was moved; whether it has the same ' +
      'content is up to you.',
  ],
  arguments: { file: { name: 'FILE', help: 'The image' } },
  options: {
    format: shared.format,
    imageOpts: shared.imageOpts,
    unsafe: { short: 'u', help: 'Change the name only, and look at no backing file' },
    backing: { short: 'b', value: 'FILE', help: "The new backing file, relative to the image; '' for none" },
    backingFormat: { short: 'F', value: 'FMT', help: 'Format of the new backing file' },
    compress: { short: 'c', long: 'compress', help: 'Store what is written compressed' },
    cache: { ...shared.targetCache, default: 'writeback' },
    sourceCache: shared.sourceCache,
    forceShare: { ...shared.forceShare, help: 'Open the new backing file even while another program writes to it' },
    progress: shared.progress,
    quiet: shared.quiet,
    ...chainOptions,
  },
  examples: [
    ['img rebase -b new-base.qcow2 -F qcow2 overlay.qcow2', 'Stand on new-base.qcow2, showing the same disk'],
    ["img rebase -b '' overlay.qcow2", 'Stand alone'],
    ['img rebase -u -b /new/place/base.raw -F raw overlay.qcow2', 'The backing file was moved'],
  ],
  run: ({ arguments: { file }, options }, io) =>
    withImages(io, options, async (images) => {
      const { backing, backingFormat, unsafe } = options;
      if (backing === undefined && !unsafe) {
        throw new Usage('a new backing file is needed: give one with -b, or -u to change the name only');
      }
      const name = backing === '' ? undefined : backing;
      if (name !== undefined && backingFormat === undefined) throw await formatNeeded(images, file, options, name);
      assertBackingFormat(images.graph, backingFormat);
      const image = await images.open(
        { name: file, format: options.format, imageOpts: options.imageOpts },
        { operation: operations.rebase.image, writable: true, cache: options.cache, noBacking: unsafe },
      );
      if (unsafe) {
        await changeName(image, { file, name, format: backingFormat });
        await image.close();
        await recordBase(images.graph, imageSpec({ name: file, ...options }));
        return 0;
      }
      try {
        const next = name === undefined ? undefined : await openNext(images, image, name, options);
        const common = next && commonLayer(image.image, next.image);
        const job = rebaseJob(new JobList(), {
          image,
          next,
          common,
          name,
          format: backingFormat,
          compressed: options.compress,
        });
        await runWithProgress(io, job, options, 2);
        await recordBase(images.graph, imageSpec({ name: file, ...options }));
      } catch (error) {
        throw namingImage(file, error, 'rebase');
      }
      return 0;
    }),
});

interface NextFlags {
  readonly backingFormat: string | undefined;
  readonly sourceCache: CacheMode | undefined;
  readonly forceShare: boolean;
}

/** The new backing file; its name is relative to the image. */
async function openNext(images: OpenImages, image: Backend, name: string, flags: NextFlags): Promise<Backend> {
  const resolved = resolveName(image.image.fileName, name);
  const next = await images.open(
    { name: resolved, format: flags.backingFormat },
    { operation: operations.rebase.backing, cache: flags.sourceCache, forceShare: flags.forceShare },
  );
  if (nodeInFile(next.image, image.image.fileName)) {
    throw new BlockError(`'${name}' needs '${image.image.fileName}', so it cannot be its backing file`, {
      code: 'ELOOP',
    });
  }
  return next;
}

/** The layer of the old chain that lies in the file of the new one. */
function commonLayer(top: Node, next: Node): Node | undefined {
  const wanted = realName(next.fileName);
  for (let node = top.backing?.node; node; node = node.backing?.node) {
    if (node.driver.name === next.driver.name && realName(node.fileName) === wanted) return node;
  }
  return undefined;
}

async function changeName(
  image: Backend,
  { file, name, format }: { file: string; name: string | undefined; format: string | undefined },
): Promise<void> {
  const { backing } = image.image.image;
  if (!backing?.change) throw new BlockError(`'${file}' is of a format without backing files`, { code: 'ENOTSUP' });
  try {
    await backing.change(name, format);
  } catch (error) {
    throw withContext(`Could not change the backing file of '${file}' to '${name ?? ''}'`, error);
  }
}

async function formatNeeded(
  images: OpenImages,
  file: string,
  options: { readonly imageOpts: boolean },
  name: string,
): Promise<Usage> {
  const what = new Usage(`Could not change the backing file to '${name}': its format must be given`);
  try {
    const resolved = options.imageOpts ? name : resolveName(file, name);
    const found = await images.open(
      { name: resolved },
      { operation: operations.inspect.image, forceShare: true, noIo: true, noBacking: true },
    );
    const { name: format } = found.image.driver;
    await found.close();
    return new Usage(what.message, { hint: `It looks like ${format}: give -F ${format}` });
  } catch {
    return new Usage(what.message, { hint: 'Give it with -F' });
  }
}
