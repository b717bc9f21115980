/**
 * SHA-256 (FIPS 180-4) of a few bytes. Node's own is a hundred times as fast, and takes ten milliseconds to load: too long
 * for the hash of a name.
 */

/** Fractional parts of the roots of the first primes, in 32 bits (sections 4.2.2 and 5.3.3). */
const fraction = (root: number): number => ((root % 1) * 2 ** 32) | 0;
const BLOCK = 64;

export function sha256(bytes: Uint8Array): Uint8Array {
  const primes = firstPrimes(BLOCK);
  const constants = primes.map((prime) => fraction(Math.cbrt(prime)));
  const hash = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
  const padded = new DataView(new ArrayBuffer(Math.ceil((bytes.length + 9) / BLOCK) * BLOCK));
  new Uint8Array(padded.buffer).set(bytes);
  padded.setUint8(bytes.length, 0x80);
  padded.setBigUint64(padded.byteLength - 8, BigInt(bytes.length) * 8n);
  for (let at = 0; at < padded.byteLength; at += BLOCK) addBlock(hash, schedule(padded, at), constants);
  const result = new DataView(new ArrayBuffer(32));
  for (const [index, word] of hash.entries()) result.setInt32(4 * index, word);
  return new Uint8Array(result.buffer);
}

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let number = 2; primes.length < count; number++) {
    if (primes.every((prime) => number % prime !== 0)) primes.push(number);
  }
  return primes;
}

const rotated = (word: number, by: number): number => (word >>> by) | (word << (32 - by));

/** The 64 words that the block at `offset` is expanded to (section 6.2.2, step 1). */
function schedule(bytes: DataView, offset: number): Int32Array {
  const words = new Int32Array(BLOCK);
  const word = (index: number): number => words[index] ?? 0;
  for (let t = 0; t < 16; t++) words[t] = bytes.getInt32(offset + 4 * t);
  for (let t = 16; t < BLOCK; t++) {
    const [early, late] = [word(t - 15), word(t - 2)];
    const sigma0 = rotated(early, 7) ^ rotated(early, 18) ^ (early >>> 3);
    const sigma1 = rotated(late, 17) ^ rotated(late, 19) ^ (late >>> 10);
    words[t] = sigma1 + word(t - 7) + sigma0 + word(t - 16);
  }
  return words;
}

/** Section 6.2.2, steps 2 to 4. */
function addBlock(hash: Int32Array, words: Int32Array, constants: readonly number[]): void {
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = hash;
  for (let t = 0; t < BLOCK; t++) {
    const choice = (e & f) ^ (~e & g);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    const first =
      h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + choice + (constants[t] ?? 0) + (words[t] ?? 0);
    const second = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + majority;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  for (const [index, word] of [a, b, c, d, e, f, g, h].entries()) hash[index] = (hash[index] ?? 0) + word;
}
