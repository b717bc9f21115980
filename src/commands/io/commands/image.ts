/** `length`, `info` and `truncate`. */
import type { Maybe } from '../../../core/async/maybe.ts';
import type { Image, ImageInfo, Preallocation } from '../../../core/block/driver.ts';
import { Perm } from '../../../core/block/permissions-bits.ts';
import { BlockError } from '../../../core/errors/block-error.ts';
import { nestedLines } from '../../cli/nested-lines.ts';
import { findBelow } from '../capability.ts';
import { bytesWord } from '../request.ts';
import type { ShellCommand } from '../shell-command.ts';
import { sizeText } from '../text.ts';

export const length: ShellCommand = {
  name: 'length',
  alias: 'l',
  summary: 'prints the length of the disk',
  words: [0, 0],
  run(shell) {
    shell.print(`${sizeText(shell.backend.size)}\n`);
    return true;
  },
};

/** What an image says of itself; a host file says nothing, and whoever passes it on says the same. */
function describes(image: Image): Maybe<ImageInfo> | undefined {
  return image.info?.() ?? (image.pageCache ? {} : undefined);
}

export const info: ShellCommand = {
  name: 'info',
  alias: 'i',
  summary: 'prints what the image is',
  words: [0, 0],
  async run(shell) {
    const node = shell.backend.image;
    const name = `format name: ${node.driver.name}\n`;
    // Of a protocol, the name of the driver and that of the protocol.
    shell.print(node.driver.kind === 'protocol' ? name + name : name);
    const found = await findBelow(node, describes);
    // Made-up data has neither clusters nor a place for machine state.
    if (found === undefined) return true;
    shell.print(`cluster size: ${sizeText(found.clusterSize ?? 0)}\n`);
    shell.print(`vm state offset: ${sizeText(found.vmStateOffset ?? 0)}\n`);
    if (found.specific) {
      shell.print(['Format specific information:', ...nestedLines(found.specific.data, 1), ''].join('\n'));
    }
    return true;
  },
};

const PREALLOCATIONS: readonly Preallocation[] = ['off', 'metadata', 'falloc', 'full'];

export const truncate: ShellCommand = {
  name: 'truncate',
  alias: 't',
  usage: '[-m prealloc_mode] off',
  summary: 'changes the length of the disk',
  flags: { m: { value: 'prealloc_mode', help: 'Space to take for what is new: off, metadata, falloc or full' } },
  words: [1, 3],
  operands: [1, 1],
  permission: Perm.WRITE | Perm.RESIZE,
  async run(shell, { flags, operands }) {
    const mode = flags.get('m') ?? 'off';
    const preallocation = PREALLOCATIONS.find((each) => each === mode);
    if (preallocation === undefined) throw new BlockError(`Invalid preallocation mode '${mode}'`);
    const size = bytesWord(shell, operands[0]);
    if (size === undefined) return false;
    await shell.backend.truncate(size, { exact: false, preallocation });
    return true;
  },
};
