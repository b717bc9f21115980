/**
 * What an open qcow2 image offers of its internal snapshots. Each operation stands in the file of its name, and is loaded
 * when it is first asked for.
 */
import type { Image, NewSnapshot, SnapshotCapability, SnapshotInfo } from '../../../core/block/driver.ts';
import { bitmapsInTheWay } from '../../../core/block/snapshots.ts';
import { BlockError, NotSupported } from '../../../core/errors/block-error.ts';
import type { Disk } from '../disk.ts';
import { beforeWrite, bitmapsOf } from '../first-write.ts';
import { snapshotInfo } from '../info.ts';
import type { Snapshot } from '../meta/snapshot-table.ts';
import { bytesHeldAlone } from './references.ts';
import { snapshotL1 } from './table.ts';

export class Qcow2Snapshots implements SnapshotCapability {
  readonly #disk: Disk;
  /** Open views by the place of the snapshot's L1 table. */
  readonly #views = new Map<string, number>();
  /** The last operation: they come one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  list(): readonly SnapshotInfo[] {
    return this.#disk.snapshots.map(snapshotInfo);
  }

  create(wanted: NewSnapshot): Promise<SnapshotInfo> {
    return this.#changing('have snapshots', async () => {
      const { createSnapshot } = await import('./create.ts');
      await createSnapshot(this.#disk, wanted);
      const made = this.#disk.snapshots.at(-1);
      if (!made) throw new Error('a snapshot was made and is not there');
      return snapshotInfo(made);
    });
  }

  apply(wanted: SnapshotInfo): Promise<void> {
    return this.#changing('go back to a snapshot', async () => {
      if (bitmapsOf(this.#disk)) throw bitmapsInTheWay(this.#disk.fileName);
      const { applySnapshot } = await import('./apply.ts');
      return applySnapshot(this.#disk, this.#find(wanted));
    });
  }

  remove(wanted: SnapshotInfo): Promise<void> {
    return this.#changing('have snapshots', async () => {
      const snapshot = this.#find(wanted);
      if (this.#views.has(keyOf(snapshot))) {
        throw new BlockError(`snapshot '${wanted.id}' of '${this.#disk.fileName}' is in use: it is open for reading`, {
          code: 'EBUSY',
        });
      }
      const { removeSnapshot } = await import('./remove.ts');
      return removeSnapshot(this.#disk, snapshot);
    });
  }

  async view(wanted: SnapshotInfo): Promise<Image> {
    const disk = this.#disk;
    if (disk.modes.noIo) throw new NotSupported(`'${disk.fileName}' was opened for its header only`);
    this.#refuseDataFile('have snapshots');
    const snapshot = this.#find(wanted);
    const key = keyOf(snapshot);
    this.#count(key, 1);
    try {
      const { SnapshotView } = await import('./view.ts');
      const l1 = await snapshotL1(disk, snapshot);
      const size = snapshot.diskSize ?? disk.size;
      let open = true;
      const closed = (): void => {
        if (open) this.#count(key, -1);
        open = false;
      };
      return new SnapshotView(disk, { l1, size, closed });
    } catch (error) {
      this.#count(key, -1);
      throw error;
    }
  }

  ownBytes(): Promise<readonly number[]> {
    return this.#inTurn(async () => {
      const disk = this.#disk;
      if (disk.writable) await disk.writer.settle();
      const sizes: number[] = [];
      for (const snapshot of disk.snapshots) sizes.push(await bytesHeldAlone(disk, await snapshotL1(disk, snapshot)));
      return sizes;
    });
  }

  #changing<T>(what: string, action: () => Promise<T>): Promise<T> {
    return this.#inTurn(async () => {
      const disk = this.#disk;
      if (disk.modes.noIo || !disk.writable) {
        throw new BlockError(`'${disk.fileName}' was not opened for writing`, { code: 'EACCES' });
      }
      this.#refuseDataFile(what);
      await beforeWrite(disk);
      await disk.writer.settle();
      return action();
    });
  }

  #refuseDataFile(what: string): void {
    if (!this.#disk.dataFile) return;
    throw new NotSupported(`'${this.#disk.fileName}' keeps its data in another file and cannot ${what}`);
  }

  async #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const before = this.#last;
    const mine = before.then(action);
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  /** The snapshot that was listed: ids need not be unique in every image. */
  #find(wanted: SnapshotInfo): Snapshot {
    const { snapshots, fileName } = this.#disk;
    const found =
      snapshots.find((each) => each.id === wanted.id && each.name === wanted.name && sameDate(each, wanted)) ??
      snapshots.find((each) => each.id === wanted.id && each.name === wanted.name);
    if (found) return found;
    throw new BlockError(`there is no snapshot '${wanted.id}' in '${fileName}' any more`, { code: 'ENOENT' });
  }

  #count(key: string, by: number): void {
    const count = (this.#views.get(key) ?? 0) + by;
    if (count > 0) this.#views.set(key, count);
    else this.#views.delete(key);
  }
}

function sameDate(snapshot: Snapshot, { date }: SnapshotInfo): boolean {
  return snapshot.dateSec === date.sec && snapshot.dateNsec === date.nsec;
}

function keyOf({ id, l1TableOffset }: Snapshot): string {
  return `${l1TableOffset} ${id}`;
}
