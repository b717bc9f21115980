/**
 * What reading needs of a disk: the active disk is one view of an image, each snapshot is another, and the saved
 * machine state a third. They differ in their L1 table, their length and what shows through; tables and data clusters,
 * the caches of both, and the ways to the file are shared.
 */
import type { Maybe } from '../../core/async/maybe.ts';
import type { BlockEvent } from '../../core/block/events.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import type { CorruptImage } from '../../core/errors/block-error.ts';
import type { DecompressedClusters } from './compressed-read.ts';
import type { Disk } from './disk.ts';
import type { DataPath } from './encryption/data-path.ts';
import type { Encryption } from './encryption/open.ts';
import type { L1Table } from './l1-table.ts';
import type { Geometry } from './meta/geometry.ts';
import type { Header } from './meta/header.ts';
import type { TableCache } from './table-cache.ts';

export interface DiskView {
  readonly fileName: string;
  readonly geometry: Geometry;
  readonly header: Header;
  readonly l1: L1Table;
  readonly l2: TableCache;
  readonly sliceEntries: number;
  /** Bytes. */
  readonly size: number;
  readonly file: Edge;
  readonly data: Edge;
  readonly content: DataPath;
  readonly encryption: Encryption | undefined;
  readonly dataFile: Edge | undefined;
  readonly backing: Edge | undefined;
  readonly decompressed: DecompressedClusters;
  readonly announces: boolean;
  announcing<T>(event: BlockEvent, step: () => Maybe<T>): Maybe<T>;
  corrupt(what: string, data?: Readonly<Record<string, unknown>>): CorruptImage;
}

/** Where a view differs from the active disk. */
interface Differences {
  readonly l1: L1Table;
  readonly size: number;
  readonly hidesBacking?: boolean;
}

/** Another view of the image of `disk`. */
export function viewOfDisk(disk: Disk, { l1, size, hidesBacking = false }: Differences): DiskView {
  return {
    fileName: disk.fileName,
    geometry: disk.geometry,
    header: disk.header,
    l1,
    l2: disk.l2,
    sliceEntries: disk.sliceEntries,
    size,
    file: disk.file,
    data: disk.data,
    content: disk.content,
    encryption: disk.encryption,
    dataFile: disk.dataFile,
    // Asked each time: another backing file may come in while the view is open.
    get backing() {
      return hidesBacking ? undefined : disk.backing;
    },
    decompressed: disk.decompressed,
    get announces() {
      return disk.announces;
    },
    announcing: (event, step) => disk.announcing(event, step),
    corrupt: (what, data) => disk.corrupt(what, data),
  };
}
