/** Holding requests at named events of a driver below: for tests that need two requests to overlap just so. */
import { BlockError } from '../../../core/errors/block-error.ts';
import { breakpointsOf, setBreakpoint } from '../breakpoints.ts';
import { waitWhileHopeful } from '../hopeful.ts';
import type { ShellCommand } from '../shell-command.ts';

export const breakCommand: ShellCommand = {
  name: 'break',
  usage: 'event tag',
  summary: 'holds the next request that reaches an event, and calls it tag',
  words: [2, 2],
  run(shell, { operands: [event = '', tag = ''] }) {
    try {
      setBreakpoint(shell, event, tag);
      return true;
    } catch (error) {
      return shell.failed('Could not set breakpoint', error);
    }
  },
};

export const removeBreak: ShellCommand = {
  name: 'remove_break',
  usage: 'tag',
  summary: 'removes a breakpoint, and resumes what it holds',
  words: [1, 1],
  run(shell, { operands: [tag = ''] }) {
    try {
      breakpointsOf(shell).remove(tag);
    } catch (error) {
      return shell.failed(`Could not remove breakpoint ${tag}`, error);
    }
    return shell.inTurn(() => true);
  },
};

export const resume: ShellCommand = {
  name: 'resume',
  usage: 'tag',
  summary: 'lets a request go on that is held',
  words: [1, 1],
  run(shell, { operands: [tag = ''] }) {
    try {
      breakpointsOf(shell).resume(tag);
    } catch (error) {
      return shell.failed('Could not resume request', error);
    }
    return shell.inTurn(() => true);
  },
};

export const waitBreak: ShellCommand = {
  name: 'wait_break',
  usage: 'tag',
  summary: 'waits until a request is held',
  words: [1, 1],
  async run(shell, { operands: [tag = ''] }) {
    const breakpoints = breakpointsOf(shell);
    shell.printer.flush();
    if (!breakpoints.isSuspended(tag)) await waitWhileHopeful(shell, breakpoints.wait(tag));
    shell.inFlight.deliver();
    if (breakpoints.isSuspended(tag)) return true;
    throw new BlockError(`no request is held as '${tag}', and none is under way that could be`);
  },
};
