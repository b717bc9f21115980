import type { Io, Output } from '../../../src/commands/cli/io.ts';

export interface FakeIo extends Io {
  out(): string;
  err(): string;
  usr1(): void;
  abort(): void;
}

/** An {@link Io} that keeps what is written to it. */
export function fakeIo(settings: { programName?: string; tty?: boolean; env?: Record<string, string> } = {}): FakeIo {
  const texts = { out: '', err: '' };
  const listeners = new Set<() => void>();
  const controller = new AbortController();
  const output = (key: 'out' | 'err'): Output => ({
    write(text) {
      texts[key] += typeof text === 'string' ? text : Buffer.from(text).toString();
    },
    isTTY: settings.tty ?? false,
    columns: 80,
    closed: false,
  });
  return {
    programName: settings.programName ?? 'img',
    stdout: output('out'),
    stderr: output('err'),
    env: settings.env ?? {},
    signal: controller.signal,
    onUsr1(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    out: () => texts.out,
    err: () => texts.err,
    usr1: () => {
      for (const listener of listeners) listener();
    },
    abort: () => controller.abort(),
  };
}
