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

/** Resume everything that is held, since nobody else could. False when nothing is. */
export function letGo(shell: Shell): boolean {
  if (!shell.opened) return false;
  const breakpoints = findBelow(shell.backend.image, (image) => image.breakpoints);
  const held = breakpoints !== undefined && breakpoints.suspended().length > 0;
  breakpoints?.letGo();
  return held;
}
