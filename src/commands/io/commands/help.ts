import type { ShellCommand } from '../shell-command.ts';
import { usageLine } from '../shell-command.ts';
import { shortened } from '../text.ts';

export const help: ShellCommand = {
  name: 'help',
  alias: '?',
  usage: '[command]',
  summary: 'tells about one command, or lists them all',
  words: [0, 1],
  global: true,
  run(shell, { operands: [name] }) {
    const { commands } = shell.settings;
    if (name === undefined) {
      const names = [...new Set(commands.values())].sort((a, b) => (a.name < b.name ? -1 : 1));
      shell.print(`${names.map(usageLine).join('')}\nUse 'help commandname' for extended help.\n`);
      return true;
    }
    const command = commands.get(name);
    if (!command) return shell.fail(`command ${shortened(name)} not found`);
    shell.print(usageLine(command) + extendedHelp(command));
    return true;
  },
};

/** Paragraphs and flags, indented by a blank; nothing for a command that needs no more words. */
export function extendedHelp(command: ShellCommand): string {
  const lines: string[] = [];
  for (const text of command.help ?? []) lines.push('', ` ${text}`);
  const flags = Object.entries(command.flags ?? {});
  if (flags.length > 0) lines.push('');
  for (const [flag, spec] of flags) {
    lines.push(` -${flag}${spec.value === undefined ? '' : ` ${spec.value}`}, -- ${spec.help}`);
  }
  if (command.alias !== undefined) lines.push('', ` '${command.alias}' is a shorter name.`);
  return lines.length === 0 ? '' : `${lines.join('\n')}\n\n`;
}
