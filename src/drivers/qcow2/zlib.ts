import type * as Zlib from 'node:zlib';

let loaded: typeof Zlib | undefined;

/** Node's zlib, loaded when the first compressed cluster is met: it costs a command that reads no data 3 ms. */
export function zlib(): typeof Zlib {
  loaded ??= process.getBuiltinModule('node:zlib');
  return loaded;
}
