import { readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { asBlockError, BlockError } from '../../core/errors/block-error.ts';

/**
 * Write the number of this process to `path`; returns how to remove it again.
 * @throws BlockError when it cannot be written, or holds the number of another process that runs.
 */
export function writePidFile(path: string): () => void {
  const other = runningOwner(path);
  if (other !== undefined) {
    throw new BlockError(`pid file '${path}' belongs to process ${other}, which is running`, { code: 'EBUSY' });
  }
  const content = `${process.pid}\n`;
  try {
    writeFileSync(path, content);
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
  };
}

function runningOwner(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(path, 'utf8').trim());
    if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return undefined;
    process.kill(pid, 0);
    return pid;
  } catch {
    return undefined;
  }
}
