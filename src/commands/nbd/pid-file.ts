import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { asBlockError, BlockError } from '../../core/errors/block-error.ts';
import { lockFile } from '../../core/host/index.ts';

/**
 * Write the number of this process to `path`, and hold the file locked; returns how to remove it again. What a process
 * left behind that has ended is written over, whoever has its number now.
 * @throws BlockError when it cannot be written, or another process holds it.
 */
export function writePidFile(path: string): () => void {
  const content = `${process.pid}\n`;
  let fd: number;
  try {
    fd = openLocked(path);
    if (fstatSync(fd).isFile()) ftruncateSync(fd);
    writeSync(fd, content);
  } catch (error) {
    const { message, code } = asBlockError(error);
    throw new BlockError(`cannot write pid file '${path}': ${message}`, { code, cause: error });
  }
  return () => {
    try {
      if (readFileSync(path, 'utf8') === content) unlinkSync(path);
    } catch {
      // Gone already.
    }
    closeSync(fd);
  };
}

function openLocked(path: string): number {
  for (;;) {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644);
    if (!lockFile(fd)) {
      const owner = readFileSync(fd, 'utf8').trim();
      closeSync(fd);
      throw new BlockError(`it belongs to process ${/^\d+$/.test(owner) ? owner : '(unknown)'}, which is running`, {
        code: 'EBUSY',
      });
    }
    // Its owner may have ended, and taken it away, since it was opened.
    if (statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) return fd;
    closeSync(fd);
  }
}
