/**
 * Dirty bitmaps as a structure: which parts of a disk have changed, one bit for each granule of it.
 *
 * It knows offsets and lengths in bytes, sizes, counts, extents, the union of two, the bytes of its bits. It knows no
 * node and no image: who records in it and where it is kept stands in core/block/bitmaps and in the drivers.
 */
export * from './dirty-bitmap.ts';
