/** The state of one run of the program: the image, requests under way, output. Commands work on this. */
import type { Maybe } from '../../core/async/maybe.ts';
import type { Backend } from '../../core/block/backend/backend.ts';
import type { BlockGraph } from '../../core/block/graph/block-graph.ts';
import { asBlockError, BlockError, errnoText } from '../../core/errors/block-error.ts';
import type { Io } from '../cli/io.ts';
import { report } from '../cli/report.ts';
import { letGo } from './breakpoints.ts';
import { Buffers } from './buffers.ts';
import { InFlight } from './in-flight.ts';
import { releaseAll } from './labels.ts';
import type { OpenedImage } from './open-image.ts';
import { Printer } from './printer.ts';
import { type ShellCommand, usageLine } from './shell-command.ts';

export interface ShellSettings {
  readonly io: Io;
  readonly graph: BlockGraph;
  /** Commands by name and by alias. */
  readonly commands: ReadonlyMap<string, ShellCommand>;
  readonly misaligned: boolean;
  /** What `open` takes is a list of options, not a name. */
  readonly imageOpts: boolean;
  /** Requests are recorded there. */
  readonly traceFile?: string | undefined;
}

export class Shell {
  readonly settings: ShellSettings;
  readonly io: Io;
  readonly printer: Printer;
  readonly buffers: Buffers;
  readonly inFlight = new InFlight();
  /** Breakpoints and labels that are listened to. */
  readonly watched = new WeakSet<object>();
  opened: OpenedImage | undefined;
  /** No further command is to be run. */
  ended = false;
  /** Something went wrong that no command has to answer for. */
  broken = false;
  /** Called instead of letting requests go when nothing could ever wake the program again. */
  onStuck: (() => void) | undefined;

  constructor(settings: ShellSettings) {
    this.settings = settings;
    this.io = settings.io;
    this.printer = new Printer(settings.io);
    this.buffers = new Buffers(settings.misaligned);
  }

  get backend(): Backend {
    if (!this.opened) throw new BlockError('no image is open', { code: 'ENOMEDIUM' });
    return this.opened.backend;
  }

  print(text: string): void {
    this.printer.print(text);
  }

  /** Print a line of why a command did not work, and say that it failed. */
  fail(line: string): false {
    this.printer.print(`${line}\n`);
    return false;
  }

  /** Wrong flags or operands: print how the command is used. */
  usage(command: ShellCommand): false {
    this.printer.print(usageLine(command));
    return false;
  }

  /** An error under the name of the program, on standard error. */
  report(error: unknown): false {
    this.printer.flush();
    report(error, this.io);
    return false;
  }

  /** `WHAT: ` and what the system calls an error of that kind. What is no error of a request is thrown again. */
  failed(what: string, error: unknown): false {
    if (!(error instanceof BlockError) && !isSystemError(error)) throw error;
    return this.fail(`${what}: ${errnoText(asBlockError(error).code)}`);
  }

  /**
   * Print what became of a request that the user waited for: behind what became of others in the meantime.
   */
  inTurn(print: () => boolean): Maybe<boolean> {
    if (!this.inFlight.active) return print();
    return this.inFlight.breathe().then(print);
  }

  /** Nothing is left that could wake the program: a request is held, and the command that waits for it never ends. */
  stuck(): void {
    if (this.onStuck) {
      this.onStuck();
      return;
    }
    const suspended = letGo(this);
    const labelled = releaseAll(this);
    if (suspended) this.#complain('every request that is waited for is held at a breakpoint: resuming all');
    if (labelled) this.#complain('every request that is waited for is held by a label: releasing all');
  }

  #complain(what: string): void {
    this.broken = true;
    this.printer.error(`${this.io.programName}: ${what}`);
  }

  /** Let suspended requests go, wait for all, and close the image. */
  async close(): Promise<void> {
    await this.finishRequests();
    const { opened } = this;
    this.opened = undefined;
    await opened?.close();
  }

  /** Nothing is under way when this ends; what became of requests has been printed. */
  async finishRequests(): Promise<void> {
    if (this.inFlight.running > 0) {
      letGo(this);
      if (releaseAll(this)) this.#complain('requests are held by labels at the end: releasing all');
    }
    await this.inFlight.settle();
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && /^E[A-Z]/.test(error.code);
}
