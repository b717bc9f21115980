/**
 * The anti-forensic splitter of LUKS1 (on-disk format specification 1.2.3, section 2.4): a key is spread over many
 * stripes, all of which are needed to get it back, so that destroying any of them destroys the key.
 */
import { nodeCrypto } from '../../bytes/node-crypto.ts';

/** `key` as `stripes` pieces of its own length, one behind the other. */
export function afSplit(key: Uint8Array, stripes: number, hash: string): Uint8Array {
  const { length } = key;
  const out = Buffer.allocUnsafeSlow(length * stripes);
  nodeCrypto().randomFillSync(out, 0, length * (stripes - 1));
  const state = mix(out, length, stripes - 1, hash);
  for (let at = 0; at < length; at++) out[length * (stripes - 1) + at] = (state[at] ?? 0) ^ (key[at] ?? 0);
  return out;
}

/** The key of `length` bytes that {@link afSplit} has made `split` of. */
export function afMerge(split: Uint8Array, length: number, stripes: number, hash: string): Uint8Array {
  const state = mix(split, length, stripes - 1, hash);
  for (let at = 0; at < length; at++) state[at] = (state[at] ?? 0) ^ (split[length * (stripes - 1) + at] ?? 0);
  return state;
}

/** All stripes but the last, each XORed in and the sum then hashed. */
function mix(stripes: Uint8Array, length: number, count: number, hash: string): Uint8Array {
  const state = new Uint8Array(length);
  for (let stripe = 0; stripe < count; stripe++) {
    for (let at = 0; at < length; at++) state[at] = (state[at] ?? 0) ^ (stripes[stripe * length + at] ?? 0);
    diffuse(state, hash);
  }
  return state;
}

/** Each piece as long as the hash becomes the hash of its number (32 bits, big-endian) and itself. */
function diffuse(state: Uint8Array, hash: string): void {
  for (let at = 0, number = 0; at < state.length; number++) {
    const width = digestLength(hash);
    const piece = state.subarray(at, at + width);
    const input = Buffer.alloc(4 + piece.length);
    input.writeUInt32BE(number);
    input.set(piece, 4);
    piece.set(nodeCrypto().hash(hash, input, 'buffer').subarray(0, piece.length));
    at += width;
  }
}

const lengths = new Map<string, number>();

/** Bytes that a hash gives. */
export function digestLength(hash: string): number {
  let length = lengths.get(hash);
  if (length === undefined) {
    length = nodeCrypto().hash(hash, '', 'buffer').length;
    lengths.set(hash, length);
  }
  return length;
}
