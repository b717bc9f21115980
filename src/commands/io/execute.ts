import type { Maybe } from '../../core/async/maybe.ts';
import type { PermMask } from '../../core/block/permissions-bits.ts';
import { takeFlags } from './flags.ts';
import type { Shell } from './shell.ts';
import type { ShellCommand } from './shell-command.ts';
import { shortened } from './text.ts';

/**
 * Run one line. True when it went well; what went wrong has been printed. Done at once, without a promise,
 * where nothing had to be waited for.
 */
export function execute(shell: Shell, line: string): Maybe<boolean> {
  const words = line.includes('  ') || line.startsWith(' ') || line.endsWith(' ') ? sparse(line) : line.split(' ');
  const [name] = words;
  if (name === undefined || name === '') return true;
  const command = shell.settings.commands.get(name);
  if (!command) return complain(shell, `command "${shortened(name)}" not found`);
  if (!command.global && !shell.opened) return complain(shell, "no file open, try 'help open'");
  const wrong = countFault(name, command.words, words.length - 1);
  if (wrong !== undefined) return complain(shell, wrong);
  const { operands: [least, most = Number.POSITIVE_INFINITY] = command.words } = command;
  const taken = takeFlags(words, command.flags);
  if (typeof taken === 'string') {
    shell.printer.error(taken);
    return shell.usage(command);
  }
  if (taken.operands.length < least || taken.operands.length > most) {
    // Where no operand can be right there is no usage to show.
    return most === 0 && taken.flags.size === 0 && command.usage === undefined
      ? complain(shell, countFault(name, [0, 0], taken.operands.length) ?? '')
      : shell.usage(command);
  }
  try {
    if (command.permission !== undefined) raise(shell, command.permission);
    const result = command.run(shell, taken);
    return result instanceof Promise ? result.catch((error: unknown) => shell.report(error)) : result;
  } catch (error) {
    return shell.report(error);
  }
}

/** Words between any number of blanks. */
function sparse(line: string): string[] {
  return line.split(' ').filter((word) => word !== '');
}

function complain(shell: Shell, text: string): false {
  shell.printer.error(text);
  return false;
}

/** `name` is what the user called it. */
function countFault(name: string, [least, most]: ShellCommand['words'], count: number): string | undefined {
  if (count >= least && (most === undefined || count <= most)) return undefined;
  const start = `bad argument count ${count} to ${name}, expected`;
  if (most === undefined) return `${start} at least ${least} arguments`;
  return least === most ? `${start} ${least} arguments` : `${start} between ${least} and ${most} arguments`;
}

/** What a command needs beyond what the backend has is taken, and kept. */
function raise(shell: Shell, needed: PermMask): void {
  const { perm, shared } = shell.backend.permissions;
  if ((needed & ~perm) !== 0) shell.backend.setPermissions({ perm: perm | needed, shared });
}
