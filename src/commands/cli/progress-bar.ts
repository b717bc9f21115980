/** The progress bar of a terminal, drawn by cli-progress. Loaded only when it is shown. */
import cliProgress from 'cli-progress';
import { formatSize } from '../../core/bytes/sizes.ts';
import type { Io } from './io.ts';
import type { State } from './progress.ts';

const FORMAT = '{phase} {bar} {percent}%  {done} of {size}  {rate}  {left}';
const FRAMES_PER_SECOND = 10;

export function barView(io: Io): { show(state: State, last: boolean): void; close(): void } {
  const bar = new cliProgress.SingleBar(
    {
      format: FORMAT,
      fps: FRAMES_PER_SECOND,
      hideCursor: true,
      clearOnComplete: false,
      stopOnComplete: false,
      gracefulExit: false, // signals are the program's business, which closes the bar
      barsize: Math.max(10, Math.min(40, io.stdout.columns - 60)),
      stream: terminal(io),
    },
    cliProgress.Presets.shades_classic,
  );
  bar.start(1, 0, figures({ phase: '', done: 0, total: 0 }, 0, null));
  return {
    show(state, last) {
      state.meter.add(state.done);
      const left = last ? 0 : state.meter.timeLeft(state.total);
      bar.setTotal(Math.max(1, state.total));
      bar.update(last ? Math.max(1, state.total) : state.done, figures(state, state.meter.rate(), left));
    },
    close: () => bar.stop(),
  };
}

type Count = Pick<State, 'phase' | 'done' | 'total'>;

function figures({ phase, done, total }: Count, rate: number, left: number | null): Record<string, string> {
  const percent = total <= 0 ? 0 : Math.min(100, (100 * done) / total);
  return {
    phase,
    percent: percent.toFixed(1).padStart(5),
    done: formatSize(done),
    size: formatSize(total),
    rate: rate > 0 ? `${formatSize(Math.round(rate))}/s` : '',
    left: left === null || left <= 0 ? '' : `${duration(left)} left`,
  };
}

/** `42s`, `3m05s`, `2h07m`. */
export function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h${two((whole % 3600) / 60)}m`;
}

/** Our output in the shape of the stream that cli-progress draws on. */
function terminal(io: Io): NodeJS.WritableStream {
  const stream = {
    isTTY: true,
    get columns() {
      return io.stdout.columns;
    },
    write(text: string) {
      io.stdout.write(text);
      return true;
    },
  };
  return stream as unknown as NodeJS.WritableStream;
}
