/**
 * Metadata contexts: the kinds of block status that an export can tell ("Metadata querying").
 *
 * A status may have to be put together from very many pieces. It ends at a limit of extents, and gives way to other
 * clients now and then: the rest is for the client to ask.
 */
import type { Maybe } from '../async/maybe.ts';
import { nextTurn } from '../async/turn.ts';
import type { Backend } from '../block/backend/backend.ts';
import { BlockError } from '../errors/block-error.ts';
import { AllocationState, BitmapState, Context, Limit, type StatusExtent } from '../nbd/index.ts';
import type { BitmapSource } from './bitmap-source.ts';
import type { ExportSettings } from './export.ts';

export interface MetaContext {
  readonly id: number;
  readonly name: string;
  /** One or more extents from `offset`, together at most `length` bytes; `most` of them at most. */
  status(offset: number, length: number, most: number): Promise<StatusExtent[]>;
}

/** The most extents in one answer; the protocol advises against more than a million. */
export const MAX_EXTENTS = 16_384;
/** Pieces looked at in one answer, and before others get a turn. */
const MAX_PIECES = 65_536;
const PIECES_PER_TURN = 256;

export function contextsOf({ backend, allocationDepth, bitmaps = [] }: ExportSettings): MetaContext[] {
  const makers: { name: string; piece: PieceReader }[] = [
    { name: Context.ALLOCATION, piece: (offset, length) => allocation(backend, offset, length) },
  ];
  if (allocationDepth) {
    makers.push({ name: Context.ALLOCATION_DEPTH, piece: (offset, length) => depth(backend, offset, length) });
  }
  const contexts: MetaContext[] = makers.map(({ name, piece }, id) => ({ id, name, status: joined(piece) }));
  const names = new Set<string>();
  for (const bitmap of bitmaps) {
    const name = Context.BITMAP_PREFIX + bitmap.name;
    if (Buffer.byteLength(name) > Limit.STRING) throw new BlockError(`the name of bitmap '${bitmap.name}' is too long`);
    if (names.has(name)) throw new BlockError(`bitmap '${bitmap.name}' is to be exported twice`, { code: 'EEXIST' });
    names.add(name);
    contexts.push({ id: contexts.length, name, status: bitmapStatus(bitmap) });
  }
  return contexts;
}

/** The contexts that a query of LIST_META_CONTEXT names; one that ends in `:` (or in a bitmap's prefix) is a wildcard. */
export function listed(contexts: readonly MetaContext[], query: string): MetaContext[] {
  if (query === 'base:' || query === 'qemu:' || query === Context.BITMAP_PREFIX) {
    return contexts.filter(({ name }) => name.startsWith(query));
  }
  return contexts.filter(({ name }) => name === query);
}

/** One piece of status, not joined with those behind it that are alike. */
type PieceReader = (offset: number, length: number) => Maybe<StatusExtent>;

async function allocation(backend: Backend, offset: number, length: number): Promise<StatusExtent> {
  const extent = await backend.chainStatus(offset, length);
  const flags = (extent.data ? 0 : AllocationState.HOLE) | (extent.zero ? AllocationState.ZERO : 0);
  return { length: extent.length, flags };
}

async function depth(backend: Backend, offset: number, length: number): Promise<StatusExtent> {
  const extent = await backend.chainStatus(offset, length);
  return { length: extent.length, flags: extent.allocated ? extent.depth + 1 : 0 };
}

/** Pieces joined to extents of different flags. */
function joined(piece: PieceReader): MetaContext['status'] {
  return async (offset, length, most) => {
    const extents: StatusExtent[] = [];
    let at = offset;
    const end = offset + length;
    for (let pieces = 1; at < end && pieces <= MAX_PIECES; pieces++) {
      const next = await piece(at, end - at);
      if (next.length <= 0) break;
      if (!append(extents, next, most)) break;
      at += next.length;
      if (pieces % PIECES_PER_TURN === 0) await nextTurn();
    }
    return nonEmpty(extents, length);
  };
}

function bitmapStatus(bitmap: BitmapSource): MetaContext['status'] {
  return async (offset, length, most) => {
    const extents: StatusExtent[] = [];
    let left = length;
    let pieces = 0;
    for (const run of bitmap.extents(offset, length)) {
      const part = Math.min(run.length, left);
      if (part <= 0 || !append(extents, { length: part, flags: run.dirty ? BitmapState.DIRTY : 0 }, most)) break;
      left -= part;
      if (++pieces === MAX_PIECES) break;
    }
    return nonEmpty(extents, length);
  };
}

/** False when it would make more than `most` extents. */
function append(extents: StatusExtent[], next: StatusExtent, most: number): boolean {
  const last = extents.at(-1);
  if (last?.flags === next.flags) {
    extents[extents.length - 1] = { length: last.length + next.length, flags: last.flags };
    return true;
  }
  if (extents.length === most) return false;
  extents.push(next);
  return true;
}

/** "A server MAY always safely report a status of 0": what could not be told. */
function nonEmpty(extents: StatusExtent[], length: number): StatusExtent[] {
  return extents.length > 0 ? extents : [{ length, flags: 0 }];
}
