/**
 * How far a command has come.
 *
 * With `-p`: a percentage that rewrites its line, as scripts know it, or on a terminal a bar with rate and time
 * left. With `--progress=json`: one JSON object per line on stderr. Without either: nothing, until SIGUSR1 asks
 * for a line on stderr. All are held down to a few lines a second; the last one of a command that succeeds says
 * that everything is done.
 */
import { clock } from '../../core/async/clock.ts';
import type { Io } from './io.ts';
import { RateMeter } from './rate-meter.ts';
import type { OptionSpec } from './record.ts';

/** The option record that commands with progress share: `-p`, `--progress`, `--progress=json`. */
export const PROGRESS_OPTION = {
  short: 'p',
  long: 'progress',
  value: 'human|json',
  bare: 'human',
  choices: ['human', 'json'],
  help: 'Show progress; json: one object per line on stderr with phase, done, total, rate and timeLeft',
} as const satisfies OptionSpec;

export interface Progress {
  /** Bytes (or other units) done of `total`; cheap enough for every request. */
  update(done: number, total: number): void;
  /** What is being done from now on, for programs: `convert`, `flush`. */
  phase(name: string): void;
  /** Everything is done. */
  finish(): void;
  /** Leave the terminal in order, whatever happened; nothing more after {@link finish}. */
  [Symbol.dispose](): void;
}

export interface ProgressOptions {
  /** Value of {@link PROGRESS_OPTION}. */
  readonly mode: 'human' | 'json' | undefined;
  /** `-q` silences `-p`, but neither JSON nor SIGUSR1. */
  readonly quiet?: boolean;
  readonly phase: string;
  /** Percent between two lines of the plain form; default 1. */
  readonly step?: number;
}

/** Ways to show it; `last` is set for the final one of a command that succeeded. Who shows a rate feeds its meter. */
interface View {
  show(state: State, last: boolean): void;
  close(): void;
}

export interface State {
  readonly phase: string;
  readonly done: number;
  readonly total: number;
  readonly meter: RateMeter;
}

export async function startProgress(io: Io, options: ProgressOptions): Promise<Progress> {
  const human = options.mode === 'human' && !options.quiet;
  const view = options.mode === 'json' ? jsonView(io) : human ? await humanView(io, options.step ?? 1) : silentView();
  return new Tracker(io, view, options.phase, options.mode !== 'json' && !human);
}

async function humanView(io: Io, step: number): Promise<View> {
  if (!io.stdout.isTTY || io.programName.startsWith('qemu-')) return lineView(io, step);
  const { barView } = await import('./progress-bar.ts');
  return barView(io);
}

class Tracker implements Progress {
  readonly #view: View;
  readonly #stopListening: () => void;
  #state: State;
  #asked = false;
  #closed = false;
  readonly #io: Io;

  constructor(io: Io, view: View, phase: string, listen: boolean) {
    this.#io = io;
    this.#view = view;
    this.#state = { phase, done: 0, total: 0, meter: new RateMeter() };
    this.#stopListening = listen ? io.onUsr1(() => this.#ask()) : () => {};
    view.show(this.#state, false);
  }

  update(done: number, total: number): void {
    const { phase, meter } = this.#state;
    this.#state = { phase, done, total, meter };
    this.#view.show(this.#state, false);
    if (this.#asked) this.#answer();
  }

  phase(name: string): void {
    this.#state = { phase: name, done: 0, total: 0, meter: new RateMeter() };
    this.#view.show(this.#state, false);
  }

  finish(): void {
    if (this.#closed) return;
    const total = this.#state.total;
    this.#state = { ...this.#state, done: total };
    this.#view.show(this.#state, true);
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopListening();
    this.#view.close();
  }

  /** The line appears with the next update, when the figures are fresh. */
  #ask(): void {
    this.#asked = true;
  }

  #answer(): void {
    this.#asked = false;
    this.#io.stderr.write(`${percentText(percentOf(this.#state, false))}\n`);
  }
}

function percentOf(state: State, last: boolean): number {
  if (last) return 100;
  return state.total <= 0 ? 0 : Math.min(100, (100 * state.done) / state.total);
}

function percentText(percent: number): string {
  return `    (${percent.toFixed(2)}/100%)`;
}

/** The line that rewrites itself; programs read it too. */
function lineView(io: Io, step: number): View {
  let shown = -1;
  return {
    show(state, last) {
      const percent = percentOf(state, last);
      if (!last && shown >= 0 && percent - shown <= step && (percent < 100 || shown === 100)) return;
      shown = percent;
      io.stdout.write(`${percentText(percent)}\r`);
    },
    close: () => io.stdout.write('\n'),
  };
}

const JSON_INTERVAL_MS = 250;

function jsonView(io: Io): View {
  let next = 0;
  let phase: string | undefined;
  return {
    show(state, last) {
      state.meter.add(state.done);
      const now = clock();
      if (!last && now < next && state.phase === phase) return;
      next = now + JSON_INTERVAL_MS;
      phase = state.phase;
      const rate = state.meter.rate();
      const { done, total } = state;
      const timeLeft = last ? 0 : state.meter.timeLeft(total);
      io.stderr.write(`${JSON.stringify({ phase, done, total, rate: Math.round(rate), timeLeft })}\n`);
    },
    close() {},
  };
}

function silentView(): View {
  return { show() {}, close() {} };
}
