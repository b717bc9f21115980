/** What a picture of a disk shows, gathered range by range: how much of which kind there is, and where. */
import type { MapRange } from '../../../core/block/graph/layer-map.ts';

export const kinds = ['data', 'compressed', 'zero'] as const;
/** data: stored as it is; compressed; zero: stored as the fact that it is zero. What is in no layer is not counted. */
export type Kind = (typeof kinds)[number];

/** Cells in a row of the picture, and rows at most. */
export const COLUMNS = 128;
const MAX_ROWS = 64;
const MIN_CELL = 512;
/** The field of places in the file. */
export const PLACES_X = 384;
export const PLACES_Y = 128;

/** A kind in one layer of the chain. */
export interface Share {
  readonly kind: Kind;
  /** Layers above it. */
  readonly depth: number;
  bytes: number;
  /** Bytes in each cell. */
  readonly cells: Float64Array;
}

export class MapSummary {
  /** Bytes of the disk. */
  readonly size: number;
  /** Bytes of a cell, a power of two. */
  readonly cellSize: number;
  readonly cellCount: number;
  readonly #shares = new Map<string, Share>();
  /** Ranges with a place in a file, and how many of them do not follow on the one before. */
  extents = 0;
  breaks = 0;
  #hostEnd = 0;
  readonly #placed: { readonly offset: number; readonly length: number; readonly host: number; depth: number }[] = [];

  constructor(size: number) {
    this.size = size;
    const wanted = Math.max(MIN_CELL, size / (COLUMNS * MAX_ROWS));
    this.cellSize = 2 ** Math.ceil(Math.log2(wanted));
    this.cellCount = Math.ceil(size / this.cellSize);
  }

  /** By depth, then by kind. */
  get shares(): Share[] {
    const order = (share: Share): number => share.depth * kinds.length + kinds.indexOf(share.kind);
    return [...this.#shares.values()].sort((a, b) => order(a) - order(b));
  }

  /** Bytes that are in some layer. */
  get allocated(): number {
    return this.shares.reduce((sum, share) => sum + share.bytes, 0);
  }

  /** Take note of the next range of the map. */
  add(range: MapRange): void {
    const kind = kindOf(range);
    if (!kind) return;
    const share = this.#share(kind, range.depth);
    share.bytes += range.length;
    const end = range.offset + range.length;
    for (let at = range.offset; at < end; ) {
      const cell = Math.floor(at / this.cellSize);
      const next = Math.min(end, (cell + 1) * this.cellSize);
      share.cells[cell] = (share.cells[cell] ?? 0) + next - at;
      at = next;
    }
    if (kind === 'data') this.#place(range);
  }

  #share(kind: Kind, depth: number): Share {
    const key = `${depth} ${kind}`;
    const share = this.#shares.get(key) ?? { kind, depth, bytes: 0, cells: new Float64Array(this.cellCount) };
    this.#shares.set(key, share);
    return share;
  }

  #place({ offset, length, hostOffset, depth }: MapRange): void {
    if (hostOffset === undefined) return;
    const last = this.#placed.at(-1);
    this.extents++;
    if (this.extents > 1 && hostOffset !== this.#hostEnd) this.breaks++;
    this.#hostEnd = hostOffset + length;
    this.fileEnd = Math.max(this.fileEnd, this.#hostEnd);
    // A picture shows no more than a few hundred places side by side: short neighbours in the order count as one.
    const near = last && last.depth === depth && hostOffset - last.host === offset - last.offset;
    if (near) this.#placed[this.#placed.length - 1] = { ...last, length: offset + length - last.offset };
    else this.#placed.push({ offset, length, host: hostOffset, depth });
    if (this.#placed.length > MAX_PLACED) this.#thin();
  }

  /** Where the last byte of data lies in any file. */
  fileEnd = 0;

  /** Fields of {@link PLACES_X} × {@link PLACES_Y} with data, by depth: `y * PLACES_X + x`, y counting file offsets. */
  places(): Map<number, Set<number>> {
    const found = new Map<number, Set<number>>();
    for (const { offset, length, host, depth } of this.#placed) {
      const fields = found.get(depth) ?? new Set<number>();
      found.set(depth, fields);
      const steps = Math.max(
        1,
        Math.ceil((length / this.size) * PLACES_X),
        Math.ceil((length / this.fileEnd) * PLACES_Y),
      );
      for (let step = 0; step < steps; step++) {
        const within = (length * step) / steps;
        const x = Math.min(PLACES_X - 1, Math.floor(((offset + within) / this.size) * PLACES_X));
        const y = Math.min(PLACES_Y - 1, Math.floor(((host + within) / this.fileEnd) * PLACES_Y));
        fields.add(y * PLACES_X + x);
      }
    }
    return found;
  }

  /** Every second one is enough to see the pattern of a very fragmented image. */
  #thin(): void {
    const kept = this.#placed.filter((_, index) => index % 2 === 0);
    this.#placed.splice(0, this.#placed.length, ...kept);
  }
}

const MAX_PLACED = 65_536;

function kindOf(range: MapRange): Kind | undefined {
  if (!range.present) return undefined;
  if (range.compressed) return 'compressed';
  if (range.zero) return 'zero';
  return range.data ? 'data' : undefined;
}
