/** The images that are worked on, and how each is made when it is first needed. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeMixedDisk, writeReads, writeSparseDisk } from './disk.ts';
import { run } from './measure.ts';
import { ourImg, qemuImg } from './programs.ts';

const GIB = 2 ** 30;

export interface Files {
  readonly raw: string;
  readonly qcow2: string;
  readonly zlib: string;
  readonly zstd: string;
  /** 1 TiB with 1 GiB of data, and 1 GiB of data alone. */
  readonly hugeRaw: string;
  readonly hugeQcow2: string;
  readonly gib: string;
  readonly gibQcow2: string;
  /** The first and the last quarter of `gib`, with nothing in between. */
  readonly halfQcow2: string;
  /** What `gib` holds, to be put on top of `base`; and nothing, on top of `gibQcow2`. */
  readonly overBase: string;
  readonly overGib: string;
  /** 100 GiB of which every cluster is in use; the same with a snapshot, and written to a little since. */
  readonly full: string;
  readonly snapshot: string;
  /** Commands for io: a million reads of 4 KiB from 64 MiB. */
  readonly reads: string;
  /** What runs write to. */
  readonly base: string;
  readonly changed: string;
  readonly target: string;
}

export type SourceName = Exclude<keyof Files, 'base' | 'changed' | 'target'>;

export function filesIn(folder: string): Files {
  const at = (name: string) => join(folder, name);
  return {
    raw: at('disk.raw'),
    qcow2: at('disk.qcow2'),
    zlib: at('disk-zlib.qcow2'),
    zstd: at('disk-zstd.qcow2'),
    hugeRaw: at('huge.raw'),
    hugeQcow2: at('huge.qcow2'),
    gib: at('gib.raw'),
    gibQcow2: at('gib.qcow2'),
    halfQcow2: at('half.qcow2'),
    overBase: at('over-base.qcow2'),
    overGib: at('over-gib.qcow2'),
    full: at('full.qcow2'),
    snapshot: at('snapshot.qcow2'),
    reads: at('reads.txt'),
    base: at('base.qcow2'),
    changed: at('changed.qcow2'),
    target: at('target'),
  };
}

export class Sources {
  readonly #files: Files;
  readonly #folder: string;
  /** Length of the mixed disk in bytes. */
  readonly #size: number;
  readonly #made = new Set<SourceName>();

  constructor(files: Files, folder: string, size: number) {
    this.#files = files;
    this.#folder = folder;
    this.#size = size;
  }

  /** Make it unless it is there: with qemu-img where there is one, since it is to be the same for all. */
  make(name: SourceName): void {
    if (this.#made.has(name)) return;
    this.#made.add(name);
    this.#makers()[name]();
  }

  /** Put a copy of it in place. */
  copy(name: SourceName, path: string): void {
    this.make(name);
    rmSync(path, { force: true });
    run(['cp', '--sparse=always', this.#files[name], path], this.#folder);
  }

  #makers(): Readonly<Record<SourceName, () => void>> {
    const files = this.#files;
    const img = (...words: string[]) => this.#img(words);
    const convert = (...words: string[]) => img('convert', '-f', 'raw', '-O', 'qcow2', ...words);
    const create = (...words: string[]) => img('create', '-q', '-f', 'qcow2', ...words);
    return {
      raw: () => writeMixedDisk(files.raw, this.#size),
      qcow2: () => this.#after(['raw'], () => convert(files.raw, files.qcow2)),
      // Ours packs as well as theirs in a fraction of the time.
      zlib: () => run([...ourImg, 'convert', '-f', 'raw', '-O', 'qcow2', '-c', files.raw, files.zlib], this.#folder),
      zstd: () => this.#after(['raw'], () => convert('-c', '-o', 'compression_type=zstd', files.raw, files.zstd)),
      gib: () => writeSparseDisk(files.gib, GIB, GIB),
      gibQcow2: () => this.#after(['gib'], () => convert(files.gib, files.gibQcow2)),
      halfQcow2: () => {
        writeSparseDisk(files.target, GIB, GIB / 2);
        convert(files.target, files.halfQcow2);
        rmSync(files.target);
      },
      overBase: () => {
        this.#after(['gib'], () => convert(files.gib, files.overBase));
        img('rebase', '-u', '-b', files.base, '-F', 'qcow2', files.overBase);
      },
      overGib: () => this.#after(['gibQcow2'], () => create('-b', files.gibQcow2, '-F', 'qcow2', files.overGib)),
      hugeRaw: () => writeSparseDisk(files.hugeRaw, 1024 * GIB, GIB),
      hugeQcow2: () => this.#after(['hugeRaw'], () => convert(files.hugeRaw, files.hugeQcow2)),
      full: () => create('-o', 'preallocation=metadata', files.full, '100G'),
      reads: () => writeReads(files.reads),
      snapshot: () => {
        this.copy('full', files.snapshot);
        img('snapshot', '-c', 'before', files.snapshot);
        img('bench', '-w', '-q', '-f', 'qcow2', '-c', '500', '-s', '64k', '-S', '200M', files.snapshot);
      },
    };
  }

  #after(needed: readonly SourceName[], make: () => unknown): void {
    for (const name of needed) this.make(name);
    make();
  }

  #img(words: readonly string[]): void {
    run([...(qemuImg === undefined ? ourImg : [qemuImg]), ...words], this.#folder);
  }
}
