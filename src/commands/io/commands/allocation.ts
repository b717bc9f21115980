/** `alloc` and `map`: what the image itself holds, without its backing chain. */

import type { Extent } from '../../../core/block/driver.ts';
import { asBlockError, BlockError } from '../../../core/errors/block-error.ts';
import { bytesWord } from '../request.ts';
import type { Shell } from '../shell.ts';
import type { ShellCommand } from '../shell-command.ts';
import { sizeText } from '../text.ts';

const SECTOR = 512;

export const alloc: ShellCommand = {
  name: 'alloc',
  alias: 'a',
  usage: 'offset [count]',
  summary: 'counts the allocated bytes of a range',
  words: [1, 2],
  async run(shell, { operands }) {
    const offset = bytesWord(shell, operands[0]);
    const count = operands.length > 1 ? bytesWord(shell, operands[1]) : SECTOR;
    if (offset === undefined || count === undefined) return false;
    const within = Math.max(0, Math.min(count, shell.backend.size - offset));
    try {
      const allocated = await allocatedIn(shell, offset, within);
      shell.print(`${allocated}/${within} bytes allocated at offset ${sizeText(offset)}\n`);
      return true;
    } catch (error) {
      return shell.failed('is_allocated failed', error);
    }
  },
};

async function allocatedIn(shell: Shell, offset: number, length: number): Promise<number> {
  let allocated = 0;
  for (let at = 0; at < length; ) {
    const extent = await shell.backend.status(offset + at, length - at, false);
    if (extent.allocated) allocated += extent.length;
    at += extent.length;
  }
  return allocated;
}

export const map: ShellCommand = {
  name: 'map',
  usage: '',
  summary: 'shows the allocated areas of the image',
  words: [0, 0],
  async run(shell) {
    const { size } = shell.backend;
    for (let offset = 0; offset < size && !shell.printer.closed; ) {
      const { allocated, length } = await runAt(shell, offset, size);
      const word = allocated ? '    allocated' : 'not allocated';
      shell.print(
        `${sizeText(length)} (0x${length.toString(16)}) bytes ${word} ` +
          `at offset ${sizeText(offset)} (0x${offset.toString(16)})\n`,
      );
      offset += length;
    }
    return true;
  },
};

/** How far the answer at `offset` holds. */
async function runAt(shell: Shell, offset: number, size: number): Promise<{ allocated: boolean; length: number }> {
  const first = await statusAt(shell, offset, size);
  let { length } = first;
  while (offset + length < size) {
    const next = await statusAt(shell, offset + length, size);
    if (next.allocated !== first.allocated) break;
    length += next.length;
  }
  return { allocated: first.allocated, length };
}

async function statusAt(shell: Shell, offset: number, size: number): Promise<Extent> {
  try {
    return await shell.backend.status(offset, size - offset, false);
  } catch (error) {
    const { code, message } = asBlockError(error);
    throw new BlockError(`Failed to get the allocation status at offset ${offset}: ${message}`, { code, cause: error });
  }
}
