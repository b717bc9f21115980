/** Breakpoints of a node below: finding them, telling what happens at them, letting go of what they hold. */
import type { BreakpointCapability } from '../../core/block/fault-control.ts';
import { NotSupported } from '../../core/errors/block-error.ts';
import { findBelow } from './capability.ts';
import type { Shell } from './shell.ts';

/** Throws NotSupported where no node has breakpoints. */
export function breakpointsOf(shell: Shell): BreakpointCapability {
  const found = findBelow(shell.backend.image, (image) => image.breakpoints);
  if (!found) throw new NotSupported('no node of the image has breakpoints');
  return found;
}

/** Suspend the next request that reaches `event`; from now on what is suspended and resumed is printed. */
export function setBreakpoint(shell: Shell, event: string, tag: string): void {
  const breakpoints = breakpointsOf(shell);
  breakpoints.set(event, tag);
  if (shell.watched.has(breakpoints)) return;
  shell.watched.add(breakpoints);
  breakpoints.listen((what, name) => {
    const word = what === 'suspended' ? 'Suspended' : 'Resuming';
    shell.inFlight.post(() => shell.print(`blkdebug: ${word} request '${name}'\n`));
  });
}

/** For the end of a run: nobody could resume what is still held. */
export function letGo(shell: Shell): void {
  if (!shell.opened) return;
  findBelow(shell.backend.image, (image) => image.breakpoints)?.letGo();
}
