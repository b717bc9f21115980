/** The man page of `nbd`, from the records of its command lines. */
import { renderAloneMan } from '../cli/man.ts';
import { nbdAlone, nbdProgram } from './main.ts';

/** The page `NBD(1)` in roff's `man` macros; the same records give the same text. */
export function renderNbdMan(): Promise<string> {
  return renderAloneMan(nbdProgram, nbdAlone);
}
