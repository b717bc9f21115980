/** What the kernel keeps of a file in memory: advice to it, and questions about it. */
import { addressOf } from './address.ts';
import { hostError } from './errno.ts';
import { isInMemory } from './filesystem.ts';
import type { HostFile } from './host-file.ts';
import { inPool, libc, negativeErrno } from './libc.ts';

/** Advice of posix_fadvise(2). */
export const ADVICE = { normal: 0, random: 1, sequential: 2, willNeed: 3, dontNeed: 4, noReuse: 5 } as const;
export type Advice = keyof typeof ADVICE;

const SC_PAGESIZE = 30;
let knownPageSize: number | undefined;

/** Bytes of a page on this machine. */
export function pageSize(): number {
  if (knownPageSize === undefined) {
    const told = libc('sysconf')?.(SC_PAGESIZE) ?? 0;
    knownPageSize = told > 0 ? told : 4096;
  }
  return knownPageSize;
}

/** cachestat(2), Linux 6.5; the C library has no name for it yet. Its number is the same wherever libc.ts is bound. */
const SYS_CACHESTAT = 451;
const CACHESTAT_WORDS = 5;
const PROT_READ = 1;
const MAP_SHARED = 1;

/** How much of a range is in memory. */
export interface CacheCounts {
  readonly pages: number;
  readonly cached: number;
  /** Of the cached ones, those not written out yet; `undefined` where the system does not tell. */
  readonly dirty: number | undefined;
}

/** Advise the kernel about a range (length 0: to the end). True when it was taken; without the call nothing happens. */
export async function advise(file: HostFile, advice: Advice, offset = 0, length = 0): Promise<boolean> {
  const fadvise = libc('posix_fadvise');
  if (fadvise === undefined) return false;
  // On the thread pool: dropping pages takes a millisecond for some tens of MiB. The result is an errno, not -1.
  const work = (fd: number): Promise<number> => inPool(fadvise, [fd, offset, length, ADVICE[advice]]);
  return (await file.run(work, 'advise on the caching of')) === 0;
}

/** Pages in the range from `offset` (a page's start) of `length` bytes. */
function pagesIn(length: number): number {
  return Math.ceil(length / pageSize());
}

let cachestatMissing = false;
const cachestatRecord = new BigUint64Array(2 + CACHESTAT_WORDS);

/** Counts by cachestat(2), which looks only at the pages that are there; `undefined` where the system has it not. */
function cachestat(file: HostFile, offset: number, length: number): CacheCounts | undefined {
  const syscall = libc('syscall');
  if (syscall === undefined || cachestatMissing) return undefined;
  const record = cachestatRecord;
  record[0] = BigInt(offset);
  record[1] = BigInt(length);
  const range = addressOf(record);
  if (syscall(SYS_CACHESTAT, file.fd, range, range + 16, 0, 0, 0) !== 0) {
    cachestatMissing = true;
    return undefined;
  }
  return { pages: pagesIn(length), cached: Number(record[2]), dirty: Number(record[3]) };
}

/**
 * For each page of a range whether it is in memory: one byte per page, bit 0 (mincore's vector). `offset` is a multiple
 * of the page size. `undefined` where the system cannot tell. Who may neither write nor own the file is told that all
 * of it is in memory (the kernel keeps that from strangers).
 */
export function residentPages(file: HostFile, offset: number, length: number): Uint8Array | undefined {
  const mmap = libc('mmap');
  const mincore = libc('mincore');
  const munmap = libc('munmap');
  if (mmap === undefined || mincore === undefined || munmap === undefined || length <= 0) return undefined;
  const address = mmap(0, length, PROT_READ, MAP_SHARED, file.fd, offset);
  if (address === -1) return undefined; // what cannot be mapped has no pages to speak of
  try {
    const vector = new Uint8Array(pagesIn(length));
    const result = mincore(address, length, addressOf(vector));
    if (result !== 0) throw hostError('look at the cached pages of', file.path, negativeErrno());
    return vector;
  } finally {
    munmap(address, length);
  }
}

/** How much of a range is in memory; `undefined` where the system cannot tell. */
export function countCached(file: HostFile, offset: number, length: number): CacheCounts | undefined {
  const counts = cachestat(file, offset, length);
  if (counts !== undefined) return counts;
  const vector = residentPages(file, offset, length);
  if (vector === undefined) return undefined;
  let cached = 0;
  for (const byte of vector) cached += byte & 1;
  return { pages: vector.length, cached, dirty: undefined };
}

/** Write out what is in memory of a file and drop it, so that reading asks the medium; where memory is the medium, nothing. */
export async function forgetCached(file: HostFile): Promise<void> {
  if (isInMemory(file.fd)) return;
  await file.flush();
  await advise(file, 'dontNeed');
}
