/**
 * The binding to the C library, by koffi.
 *
 * koffi is loaded once, when a function of the C library is first needed (two milliseconds of start-up), and each symbol is
 * bound at its first use. Every argument and result is an integer: memory is passed by its address (see address.ts), so
 * that no call pays for the conversion of a buffer and asynchronous calls work on memory that their caller keeps alive.
 *
 * Where koffi, the platform or the symbol is missing, {@link libc} answers `undefined`, and what rests on it is absent.
 */
import { constants } from 'node:os';
import type { LibraryHandle } from 'koffi';
import { type Engine, loadKoffi } from './koffi.ts';

type CType = 'int' | 'ulong' | 'int64_t' | 'size_t' | 'uintptr_t' | 'intptr_t' | 'uint32_t';

/** Result type, then argument types. Variadic functions are declared with the arguments we give them. */
const SIGNATURES = {
  preadv2: ['int64_t', 'int', 'uintptr_t', 'int', 'int64_t', 'int'],
  pread: ['int64_t', 'int', 'uintptr_t', 'size_t', 'int64_t'],
  preadv: ['int64_t', 'int', 'uintptr_t', 'int', 'int64_t'],
  pwrite: ['int64_t', 'int', 'uintptr_t', 'size_t', 'int64_t'],
  pwritev: ['int64_t', 'int', 'uintptr_t', 'int', 'int64_t'],
  lseek: ['int64_t', 'int', 'int64_t', 'int'],
  fallocate: ['int', 'int', 'int', 'int64_t', 'int64_t'],
  copy_file_range: ['int64_t', 'int', 'uintptr_t', 'int', 'uintptr_t', 'size_t', 'uint32_t'],
  ioctl: ['int', 'int', 'ulong', 'uintptr_t'],
  fcntl: ['int', 'int', 'int', 'uintptr_t'],
  setsockopt: ['int', 'int', 'int', 'int', 'uintptr_t', 'uint32_t'],
  socket: ['int', 'int', 'int', 'int'],
  poll: ['int', 'uintptr_t', 'ulong', 'int'],
  socketpair: ['int', 'int', 'int', 'int', 'uintptr_t'],
  fstatfs: ['int', 'int', 'uintptr_t'],
  statx: ['int', 'int', 'uintptr_t', 'int', 'uint32_t', 'uintptr_t'],
  posix_fadvise: ['int', 'int', 'int64_t', 'int64_t', 'int'],
  mmap: ['intptr_t', 'uintptr_t', 'size_t', 'int', 'int', 'int', 'int64_t'],
  munmap: ['int', 'uintptr_t', 'size_t'],
  _exit: ['int', 'int'],
  mincore: ['int', 'uintptr_t', 'size_t', 'uintptr_t'],
  sysconf: ['int64_t', 'int'],
  syscall: ['int64_t', 'int64_t', 'int64_t', 'int64_t', 'int64_t', 'int64_t', 'int64_t', 'int64_t'],
} as const satisfies Record<string, readonly [CType, ...CType[]]>;

export type LibcName = keyof typeof SIGNATURES;
type Arguments<S> = S extends readonly [CType, ...infer R] ? { -readonly [I in keyof R]: number } : never;
type ArgumentsOf<N extends LibcName> = Arguments<(typeof SIGNATURES)[N]>;

/** A function of the C library; `async` runs it on the thread pool. Both give the raw result. */
export interface LibcFunction<A extends readonly number[]> {
  (...args: A): number;
  async(...args: [...A, (error: unknown, result: number) => void]): void;
}

/**
 * Where the numbers and the struct layouts used in this room hold: Linux with 64-bit little-endian words and the generic
 * ioctl encoding. Anything else gets the fallback on node:fs.
 */
const ARCHITECTURES: readonly string[] = ['x64', 'arm64', 'riscv64', 'loong64'];

interface Binding {
  readonly koffi: Engine;
  readonly library: LibraryHandle;
  readonly functions: Map<LibcName, unknown>;
}

let binding: Binding | null | undefined;
let withheld: ReadonlySet<LibcName> | 'all' = new Set();

function load(): Binding | null {
  if (process.platform !== 'linux' || !ARCHITECTURES.includes(process.arch)) return null;
  try {
    const koffi = loadKoffi();
    return { koffi, library: koffi.load(null), functions: new Map() };
  } catch {
    return null; // no prebuilt binary for this system: the same as a system without these calls
  }
}

function bindingOnce(): Binding | null {
  if (binding === undefined) binding = load();
  return withheld === 'all' ? null : binding;
}

/** The named function, or `undefined` where this system does not have it. Cheap after the first call, but hold on to it. */
export function libc<N extends LibcName>(name: N): LibcFunction<ArgumentsOf<N>> | undefined {
  const bound = bindingOnce();
  if (bound === null || (withheld !== 'all' && withheld.has(name))) return undefined;
  let found = bound.functions.get(name);
  if (found === undefined) {
    found = bind(bound, name);
    bound.functions.set(name, found);
  }
  return found === null ? undefined : (found as LibcFunction<ArgumentsOf<N>>);
}

function bind(bound: Binding, name: LibcName): unknown {
  const [result, ...args] = SIGNATURES[name];
  try {
    return bound.library.func(name, result, [...args]);
  } catch {
    return null; // an older or smaller C library
  }
}

/** Whether the C library has been needed so far. */
export function usesLibc(): boolean {
  return binding !== undefined && binding !== null;
}

/** The errno of the last call that failed, negated as the kernel does: read it before anything else is called. */
export function negativeErrno(): number {
  const errno = bindingOnce()?.koffi.errno() ?? 0;
  return errno === 0 ? -constants.errno.EIO : -errno;
}

/** Memory that a call on the thread pool reads or fills: referenced here, so that it is not collected meanwhile. */
const lent = new Set<ArrayBufferView>();

/**
 * Run `fn` on the thread pool: its result, or the negated errno where it answered -1. `record` is memory whose address is
 * among the arguments; it is kept alive until the call has ended.
 */
export function inPool<A extends readonly number[]>(
  fn: LibcFunction<A>,
  args: readonly [...A],
  record?: ArrayBufferView,
): Promise<number> {
  if (record !== undefined) lent.add(record);
  return new Promise((resolve, reject) => {
    fn.async(...args, (error, result) => {
      if (record !== undefined) lent.delete(record);
      if (error !== null && error !== undefined) reject(error);
      else resolve(result === -1 ? negativeErrno() : result);
    });
  });
}

/** Address of the first byte of `memory` (0 when it is empty); the C library must be there. */
export function memoryAddress(memory: ArrayBufferLike): number {
  const bound = binding;
  if (bound === null || bound === undefined) throw new Error('the C library is not bound');
  return memory.byteLength === 0 ? 0 : Number(bound.koffi.address(memory));
}

/** Test seam: behave as if these functions did not exist, until the returned function is called. */
export function withholdLibc(names: readonly LibcName[] | 'all'): () => void {
  const before = withheld;
  withheld = names === 'all' ? 'all' : new Set(names);
  return () => {
    withheld = before;
  };
}
