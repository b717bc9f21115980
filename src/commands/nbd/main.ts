/**
 * The program `nbd`, which serves an image over the NBD protocol.
 *
 * It is not built yet: calling it ends in one line that says so, and exit status 1.
 */

/** Run the program; `programName` is what it was called as. Returns the exit status. */
export async function main(_argv: readonly string[], programName: string): Promise<number> {
  process.stderr.write(`${programName}: not built yet: this version of Blockyard has the programs img and io\n`);
  return 1;
}
