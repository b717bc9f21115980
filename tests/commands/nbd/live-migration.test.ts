/** The tutorial docs/live-migration.md, line by line: shell commands in a shell, JSON over the control socket. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { peersFor } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';

const root = path.join(import.meta.dirname, '..', '..', '..');
const page = fs.readFileSync(path.join(root, 'docs', 'live-migration.md'), 'utf8');

interface Step {
  readonly kind: string;
  readonly line: string;
}

const steps: Step[] = [...page.matchAll(/^```(sh|json)\n(.*?)^```$/gms)].flatMap(([, kind = '', text = '']) =>
  text
    .trim()
    .split('\n')
    .map((line) => ({ kind, line })),
);

type Message = Readonly<Record<string, unknown>>;

class Control {
  readonly #socket: net.Socket;
  #messages: Message[] = [];
  #text = '';
  #wake: () => void = () => undefined;

  constructor(file: string) {
    this.#socket = net.connect(file);
    this.#socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#text + text).split('\r\n');
      this.#text = lines.pop() ?? '';
      this.#messages.push(...lines.map((line) => JSON.parse(line) as Message));
      this.#wake();
    });
  }

  async take(wanted: (message: Message) => boolean): Promise<Message> {
    for (;;) {
      const at = this.#messages.findIndex(wanted);
      const [found] = at < 0 ? [] : this.#messages.splice(at, 1);
      if (found) return found;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async step(line: string): Promise<Message> {
    const { wait, data } = JSON.parse(line) as { wait?: string; data?: Record<string, unknown> };
    if (wait === undefined) {
      this.#socket.write(line);
      return this.take((message) => 'return' in message || 'error' in message);
    }
    const fits = (given: unknown) =>
      Object.entries(data ?? {}).every(([key, value]) => (given as Record<string, unknown>)[key] === value);
    return this.take((message) => message.event === wait && fits(message.data));
  }

  end(): void {
    this.#socket.destroy();
  }
}

describe.skipIf(peersFor('qemu-io').missing)('the tutorial on moving a disk', () => {
  test('does what it says', { timeout: 60_000 }, async () => {
    const cwd = tempDir();
    const env = { PATH: `${path.join(root, 'bin')}:${process.env.PATH ?? ''}` };
    let control: Control | undefined;
    const answers: Message[] = [];
    try {
      for (const { kind, line } of steps) {
        if (kind === 'sh') {
          const { stdout } = await execa('sh', ['-ec', line], { cwd, env });
          expect(stdout, line).not.toMatch(/verification failed/i);
          continue;
        }
        control ??= new Control(path.join(cwd, 'qmp.sock'));
        const answer = await control.step(line);
        expect(answer, line).not.toHaveProperty('error');
        answers.push(answer);
        if (line.includes('"quit"')) await ended(path.join(cwd, 'nbd.pid'));
      }
    } finally {
      control?.end();
      const pid = fs.existsSync(path.join(cwd, 'nbd.pid'))
        ? Number(fs.readFileSync(path.join(cwd, 'nbd.pid'), 'utf8'))
        : 0;
      if (pid > 0) process.kill(pid, 'SIGKILL');
    }
    const exported = answers.find(({ return: value }) => Array.isArray(value) && value.length > 0);
    expect(exported?.return).toEqual([{ id: 'served', type: 'nbd', 'node-name': 'new', 'shutting-down': false }]);
    expect(fs.readdirSync(cwd)).toEqual(['new.qcow2']);
  });
});

/** The pid file goes when the program does. */
async function ended(file: string): Promise<void> {
  await expect.poll(() => fs.existsSync(file)).toBe(false);
}
