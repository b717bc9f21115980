/** Entries of a refcount block, 1 to 64 bits wide; below a byte, bit 0 is the least significant (specification). */
const TWO_32 = 2 ** 32;

/**
 * The count at `index`. `order` is log2 of the width in bits. A 64-bit count above 2^53-1 is not exact, and not to be
 * stored again as it was read.
 */
export function getRefcount(view: DataView, index: number, order: number): number {
  switch (order) {
    case 4:
      return view.getUint16(index * 2);
    case 3:
      return view.getUint8(index);
    case 5:
      return view.getUint32(index * 4);
    case 6:
      return view.getUint32(index * 8) * TWO_32 + view.getUint32(index * 8 + 4);
    default: {
      const perByte = 8 >> order;
      const shift = (index % perByte) << order;
      return (view.getUint8(Math.floor(index / perByte)) >> shift) & ((1 << (1 << order)) - 1);
    }
  }
}

/** Store a count, which must fit the width (the caller checks it against `geometry.refcountMax`). */
export function setRefcount(view: DataView, index: number, order: number, value: number): void {
  switch (order) {
    case 4:
      view.setUint16(index * 2, value);
      return;
    case 3:
      view.setUint8(index, value);
      return;
    case 5:
      view.setUint32(index * 4, value);
      return;
    case 6:
      view.setUint32(index * 8, Math.floor(value / TWO_32));
      view.setUint32(index * 8 + 4, value >>> 0);
      return;
    default: {
      const perByte = 8 >> order;
      const at = Math.floor(index / perByte);
      const shift = (index % perByte) << order;
      const mask = ((1 << (1 << order)) - 1) << shift;
      view.setUint8(at, (view.getUint8(at) & ~mask) | (value << shift));
    }
  }
}

/** Lower a 64-bit count that is not exact as a number. */
export function lowerLargeRefcount(view: DataView, index: number, by: number): void {
  view.setBigUint64(index * 8, view.getBigUint64(index * 8) - BigInt(by));
}

/** Bytes [from, to) of the block that hold entries [first, first + count). */
export function refcountByteRange(first: number, count: number, order: number): { from: number; to: number } {
  const bits = 2 ** order;
  return { from: Math.floor((first * bits) / 8), to: Math.ceil(((first + count) * bits) / 8) };
}
