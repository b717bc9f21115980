/** Which ways of copying and which uses of a bitmap go together in a backup. */
import { Usage } from '../errors/block-error.ts';

/**
 * full: the whole disk; top: what its topmost layer holds; none: only what changes; incremental, bitmap: what is dirty in
 * a bitmap.
 */
export const backupSyncs = ['full', 'top', 'none', 'incremental', 'bitmap'] as const;
export type BackupSync = (typeof backupSyncs)[number];

/**
 * What becomes of the bitmap: `on-success` it starts anew once all is copied; `never` it stays; `always` what was
 * copied is taken out of it, also of a backup that failed.
 */
export const bitmapModes = ['on-success', 'never', 'always'] as const;
export type BitmapMode = (typeof bitmapModes)[number];

export interface BackupPlan {
  readonly sync: Exclude<BackupSync, 'incremental'>;
  readonly bitmapMode: BitmapMode | undefined;
}

export interface BackupWish {
  readonly sync: BackupSync;
  readonly bitmap?: string | undefined;
  readonly bitmapMode?: BitmapMode | undefined;
}

/** Throws Usage for what does not go together. */
export function planBackup({ sync, bitmap, bitmapMode }: BackupWish): BackupPlan {
  if (bitmap === undefined) {
    if (sync === 'incremental' || sync === 'bitmap') throw new Usage(`sync mode '${sync}' needs a bitmap`);
    if (bitmapMode !== undefined) throw new Usage(`bitmap mode '${bitmapMode}' needs a bitmap`);
    return { sync, bitmapMode: undefined };
  }
  if (sync === 'incremental') {
    if (bitmapMode !== undefined && bitmapMode !== 'on-success') {
      throw new Usage(`sync mode 'incremental' goes with bitmap mode 'on-success' only, not '${bitmapMode}'`);
    }
    return { sync: 'bitmap', bitmapMode: 'on-success' };
  }
  if (bitmapMode === undefined) throw new Usage('a bitmap needs a bitmap mode: on-success, never or always');
  if (sync === 'none') throw new Usage("sync mode 'none' copies nothing that a bitmap could be told of");
  if (sync !== 'bitmap' && bitmapMode === 'never') {
    throw new Usage(`bitmap mode 'never' has no meaning with sync mode '${sync}', which copies more than the bitmap`);
  }
  return { sync, bitmapMode };
}
