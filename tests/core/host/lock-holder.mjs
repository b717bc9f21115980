// Holds read locks on single bytes of a file for a test: node lock-holder.mjs FILE BYTE… ; prints "held", ends with stdin.
import { openSync } from 'node:fs';
import koffi from 'koffi';

const [path, ...bytes] = process.argv.slice(2);
const fd = openSync(path, 'r+');
const fcntl = koffi.load(null).func('fcntl', 'int', ['int', 'int', 'void *']);
for (const byte of bytes) {
  const record = new DataView(new ArrayBuffer(32)); // struct flock: F_RDLCK, SEEK_SET, start, length
  record.setBigInt64(8, BigInt(byte), true);
  record.setBigInt64(16, 1n, true);
  if (fcntl(fd, 37, new Uint8Array(record.buffer)) !== 0) throw new Error(`errno ${koffi.errno()}`);
}
process.stdout.write('held\n');
process.stdin.resume();
