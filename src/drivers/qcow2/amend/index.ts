/**
 * Changing what an image was made with.
 *
 * What cannot be is refused before anything is changed, counts too large for their new width included. Then, each step
 * stable before the next:
 *   passwords → snapshot entries made complete → version 3 → names and flags in the header → size
 *   → zero clusters written out → width of the counts → version 2
 * so that at any moment the image is a valid one that reads as before: a newer version before what needs it, the older
 * one after all that it lacks is gone.
 */
import type { AmendContext } from '../../../core/block/driver.ts';
import { Cancelled } from '../../../core/errors/block-error.ts';
import type { Disk } from '../disk.ts';
import { amendEncryption } from '../encryption/amend.ts';
import { beforeWrite, clearDirtyBit } from '../first-write.ts';
import { rewriteHeader } from '../header-update.ts';
import { ExtensionType, withExtension } from '../meta/extensions.ts';
import { Autoclear, Compatible } from '../meta/features.ts';
import { isIncomplete } from '../meta/snapshot-table.ts';
import { replaceSnapshots } from '../snapshots/table.ts';
import { truncate } from '../truncate.ts';
import type { AmendOptions } from './options.ts';
import { checkRequest, type Plan } from './plan.ts';
import { changeRefcountWidth } from './refcount-width.ts';
import { toVersion2, toVersion3 } from './version.ts';
import { writeOutZeroes } from './zero-clusters.ts';

export async function amend(disk: Disk, options: AmendOptions, context: AmendContext): Promise<void> {
  await disk.writer.settle();
  const plan = await checkRequest(disk, options, context.signal);
  if (options.encrypt !== undefined) await amendEncryption(disk.encryption, options, context);
  if (plan.upgrade) {
    await completeSnapshots(disk);
    await toVersion3(disk);
  }
  await changeHeader(disk, options);
  if (options.size !== undefined && options.size !== disk.size) {
    await beforeWrite(disk);
    await truncate(disk, options.size, {});
  }
  await settle(disk);
  const rebuilds = plan.downgrade || plan.refcountOrder !== disk.header.refcountOrder;
  if (rebuilds) await context.exclusively(() => rebuild(disk, plan, new Steps(context)));
  await disk.file.flush();
}

/** What version 3 has snapshots say, and version 2 lets them say. */
async function completeSnapshots(disk: Disk): Promise<void> {
  if (!disk.snapshots.some((snapshot) => isIncomplete(3, snapshot))) return;
  await beforeWrite(disk);
  await replaceSnapshots(disk, disk.snapshots, { done: false });
  await disk.writer.settle();
}

/** What is done to the image as a whole, and cannot be done under the hands of others. */
async function rebuild(disk: Disk, plan: Plan, steps: Steps): Promise<void> {
  if (plan.downgrade) {
    await writeOutZeroes(disk, steps);
    await settle(disk);
    // Open as version 3, it would make zero clusters again.
    disk.retire('it is of another version now');
  }
  if (plan.refcountOrder !== disk.header.refcountOrder) await changeRefcountWidth(disk, plan.refcountOrder, steps);
  if (plan.downgrade) await toVersion2(disk);
}

/** Progress over parts whose lengths become known one by one. */
export class Steps {
  readonly #context: AmendContext;
  #done = 0;
  #total = 0;

  constructor(context: AmendContext) {
    this.#context = context;
  }

  expect(length: number): void {
    this.#total += length;
    this.#context.progress?.(this.#done, this.#total);
  }

  /** Between two steps: tells of the progress, and ends the work when asked to. */
  advance(length: number): void {
    if (this.#context.signal?.aborted) throw new Cancelled();
    this.#done += length;
    this.#context.progress?.(this.#done, this.#total);
  }

  get signal(): AbortSignal | undefined {
    return this.#context.signal;
  }
}

/** Everything is on disk, and the counts there are right. */
async function settle(disk: Disk): Promise<void> {
  await disk.writer.settle();
  if (disk.dirtyBit) await clearDirtyBit(disk);
  await disk.file.flush();
}

/** Flags and names, in one write. */
async function changeHeader(disk: Disk, options: AmendOptions): Promise<void> {
  const { header, parts } = disk;
  const before = { compatible: header.compatible, autoclear: header.autoclear, extensions: parts.extensions };
  if (options.lazy_refcounts === true) header.compatible |= Compatible.LAZY_REFCOUNTS;
  if (options.lazy_refcounts === false) header.compatible &= ~Compatible.LAZY_REFCOUNTS;
  if (options.data_file_raw === false) header.autoclear &= ~Autoclear.DATA_FILE_RAW;
  if (options.data_file !== undefined) {
    parts.extensions = withExtension(parts.extensions, ExtensionType.DATA_FILE, Buffer.from(options.data_file));
  }
  const same = header.compatible === before.compatible && header.autoclear === before.autoclear;
  if (same && parts.extensions === before.extensions) return;
  // Counts on disk are right before the image stops saying that they may lag behind.
  await settle(disk);
  try {
    await rewriteHeader(disk);
  } catch (error) {
    Object.assign(header, { compatible: before.compatible, autoclear: before.autoclear });
    parts.extensions = before.extensions;
    throw error;
  }
  await disk.file.flush();
}
