/** `PROGRAM completion SHELL`: a script that lets a shell complete the command lines of the program. */
import { Usage } from '../../../core/errors/block-error.ts';
import type { Program } from '../main.ts';
import { type AnyCommand, command } from '../record.ts';
import { bashScript } from './bash.ts';
import { fishScript } from './fish.ts';
import { completionModel, type Model } from './model.ts';
import { zshScript } from './zsh.ts';

/** Each shell, its script, and the name under which it looks for that. */
export const SHELLS: Readonly<
  Record<string, { readonly script: (model: Model) => string; readonly fileName: (program: string) => string }>
> = {
  bash: { script: bashScript, fileName: (program) => program },
  zsh: { script: zshScript, fileName: (program) => `_${program}` },
  fish: { script: fishScript, fileName: (program) => `${program}.fish` },
};

/** The script for `shell`. @throws Usage for a shell that is not known. */
export async function completionScript(program: Program, shell: string): Promise<string> {
  const known = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined;
  if (!known) throw new Usage(`there are no completions for '${shell}', only for ${Object.keys(SHELLS).join(', ')}`);
  return known.script(await completionModel(program));
}

export function completionCommand(program: Program): AnyCommand {
  const { name } = program;
  return command({
    name: 'completion',
    group: 'Help',
    summary: 'Print a script that completes command lines in a shell',
    description: [
      'The script completes commands, options, their values and the names of files. Put where the shell looks for ' +
        'it, it is loaded when it is first needed.',
    ],
    arguments: { shell: { name: 'SHELL', help: 'bash, zsh or fish', offers: Object.keys(SHELLS) } },
    options: {},
    examples: [
      [`source <(${name} completion bash)`, 'For this session of bash'],
      [`${name} completion bash > ~/.local/share/bash-completion/completions/${name}`, 'For every session of bash'],
      [`${name} completion zsh > ~/.zfunc/_${name}`, 'For zsh, where fpath has ~/.zfunc before compinit is called'],
      [`${name} completion fish > ~/.config/fish/completions/${name}.fish`, 'For fish'],
    ],
    async run({ arguments: { shell } }, io) {
      io.stdout.write(await completionScript(program, shell));
      return 0;
    },
  });
}
