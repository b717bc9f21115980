/**
 * koffi, loaded the short way where there is one.
 *
 * What `require('koffi')` does besides loading its binary takes longer than all else that opening an image does: it finds
 * the package in three steps, and reads the program headers of Node to learn which C library it was linked with. The
 * binary itself has all that is used here. So it is looked for where npm puts it, and koffi's own way is taken where it
 * is not there, is of another version, or where the C library may not be glibc.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type * as Koffi from 'koffi';

export type Engine = Pick<typeof Koffi, 'load' | 'address' | 'errno' | 'version'>;

/** The version in package.json, which a test compares. */
export const KOFFI_VERSION = '3.3.4';

/** The dynamic linkers of musl: where there is one, Node may have been linked by it. */
const MUSL: Readonly<Record<string, string>> = {
  x64: '/lib/ld-musl-x86_64.so.1',
  arm64: '/lib/ld-musl-aarch64.so.1',
};

/** @throws whatever loading it throws. */
export function loadKoffi(): Engine {
  return prebuilt() ?? throughPackage();
}

function throughPackage(): Engine {
  const { createRequire } = process.getBuiltinModule('node:module');
  return createRequire(import.meta.filename)('koffi') as Engine;
}

function prebuilt(): Engine | undefined {
  const { platform, arch } = process;
  const musl = MUSL[arch];
  if (platform !== 'linux' || musl === undefined) return undefined;
  const file = inPackages(join('@koromix', `koffi-linux-${arch}`, `linux_${arch}`, 'koffi.node'));
  if (file === undefined || existsSync(musl)) return undefined;
  try {
    const module: { exports: Partial<Engine> } = { exports: {} };
    process.dlopen(module, file);
    return module.exports.version === KOFFI_VERSION ? (module.exports as Engine) : undefined;
  } catch {
    return undefined;
  }
}

/** A file below a `node_modules` of this folder or of one above it. */
function inPackages(name: string): string | undefined {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const file = join(folder, 'node_modules', name);
    if (existsSync(file)) return file;
    if (dirname(folder) === folder) return undefined;
  }
}
