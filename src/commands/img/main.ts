/**
 * The program `img`: a thin layer over the block layer for disk images that nothing is using.
 *
 * What belongs here: one file per subcommand, each a record (name, summary, arguments, `run`), and this list
 * of them. What does not: parsing and printing help (`commands/cli`), and the work itself (`core/job`,
 * `core/block`). A subcommand is loaded only when it is asked for.
 */
import { commandsOf, type Program, runProgram } from '../cli/main.ts';

/** For the man page: what holds for all commands, and where scripts written for qemu-img meet something else. */
const REMARKS = [
  'On SIGUSR1 (and SIGINFO where there is one) a command with -p tells how far it is, as a line on standard error; the ' +
    'others ignore it.',
  'Options and output are those of qemu-img, with these differences. Wrong command lines end with 1, those of compare ' +
    'with 2, because 1 says that the images differ. Where a command fails before it has begun, the file that it was to ' +
    'make is not there, and the image not changed. Control characters in names are printed as \\xNN. check opens no ' +
    'backing file and needs no password. A map of nothing is an empty list. convert -n --target-is-zero with -B fails. ' +
    'convert takes -o size=SIZE for a target larger than the source. amend -o compat=0.10 makes reference counts 16 ' +
    'bits wide, and refuses an image with bitmaps. measure needs no password. snapshot without an action lists, and -d ' +
    'takes an id too. rebase goes by the file, not by its name, when it tells whether the new backing file is a layer ' +
    'of the old chain. Requests are carried out by threads alone: aio=native and aio=io_uring are refused.',
];

/** In the order of the overview; each file exports a record of its own name. */
export const img: Program = {
  name: 'img',
  summary: 'Create, convert, check and compare disk images',
  commands: {
    create: async () => (await import('./create.ts')).create,
    info: async () => (await import('./info.ts')).info,
    convert: async () => (await import('./convert.ts')).convert,
    dd: async () => (await import('./dd.ts')).dd,
    map: async () => (await import('./map.ts')).map,
    checksum: async () => (await import('./checksum.ts')).checksum,
    compare: async () => (await import('./compare.ts')).compare,
    diff: async () => (await import('./diff.ts')).diff,
    inspect: async () => (await import('./inspect.ts')).inspect,
    check: async () => (await import('./check.ts')).check,
    measure: async () => (await import('./measure.ts')).measure,
    bench: async () => (await import('./bench.ts')).bench,
    amend: async () => (await import('./amend.ts')).amend,
    snapshot: async () => (await import('./snapshot.ts')).snapshot,
    bitmap: async () => (await import('./bitmap.ts')).bitmap,
    commit: async () => (await import('./commit.ts')).commit,
    rebase: async () => (await import('./rebase.ts')).rebase,
    resize: async () => (await import('./resize.ts')).resize,
  },
  remarks: REMARKS,
  async notes() {
    const { driverList } = await import('../../drivers/index.ts');
    return [`Supported formats: ${driverList.entries.map((entry) => entry.name).join(' ')}`];
  },
};

/** Run the program; `programName` is what it was called as. Returns the exit status. */
export function main(argv: readonly string[], programName: string): Promise<number> {
  return runProgram(img, argv, programName);
}

/** Whether there is a subcommand of this name; its compiled code is then kept for it alone (bin/code.js). */
export function isCommand(word: string): boolean {
  return Object.hasOwn(commandsOf(img), word);
}

/** For the end of the process, when all is done. */
export { leave } from '../../core/host/index.ts';
