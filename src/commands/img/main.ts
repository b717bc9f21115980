/**
 * The program `img`: a thin layer over the block layer for disk images that nothing is using.
 *
 * What belongs here: one file per subcommand, each a record (name, summary, arguments, `run`), and this list
 * of them. What does not: parsing and printing help (`commands/cli`), and the work itself (`core/job`,
 * `core/block`). A subcommand is loaded only when it is asked for.
 */
import { commandsOf, type Program, runProgram } from '../cli/main.ts';

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
