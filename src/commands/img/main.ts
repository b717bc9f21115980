/**
 * The program `img`: a thin layer over the block layer for disk images that nothing is using.
 *
 * What belongs here: one file per subcommand, each a record (name, summary, arguments, `run`), and this list
 * of them. What does not: parsing and printing help (`commands/cli`), and the work itself (`core/job`,
 * `core/block`). A subcommand is loaded only when it is asked for.
 */

/** Run the program; `programName` is what it was called as. Returns the exit status. */
export async function main(_argv: readonly string[], programName: string): Promise<number> {
  process.stderr.write(`${programName}: not built yet\n`);
  return 1;
}
