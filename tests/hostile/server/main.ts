/**
 * `img` as a process that runs one command after the other, for tests with thousands of them: a line of JSON in
 * (`{"args": […]}`), a line out with the result and with what the command took.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Io, Output } from '../../../src/commands/cli/io.ts';
import { run } from '../../../src/commands/cli/main.ts';
import { img } from '../../../src/commands/img/main.ts';

class Collected implements Output {
  readonly isTTY = false;
  readonly columns = 80;
  readonly closed = false;
  text = '';

  write(text: string | Uint8Array): void {
    this.text += typeof text === 'string' ? text : Buffer.from(text).toString('latin1');
  }
}

const GC_EVERY = 16;
let commands = 0;

async function runOnce(args: readonly string[]) {
  const stdout = new Collected();
  const stderr = new Collected();
  const signal = new AbortController().signal;
  const io: Io = { programName: 'img', stdout, stderr, env: {}, signal, onUsr1: () => () => undefined };
  forgetPeak();
  const before = process.cpuUsage();
  const code = await run(img, args, io);
  const { user, system } = process.cpuUsage(before);
  return { code, stdout: stdout.text, stderr: stderr.text, cpu: (user + system) / 1000, peak: peakMemory() };
}

/** Start a new maximum of resident memory (Linux, see proc_pid_clear_refs(5)). */
function forgetPeak(): void {
  // Collecting each time would take longer than most commands.
  if (++commands % GC_EVERY === 0) globalThis.gc?.();
  try {
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {
    // Without it the maximum is that of all commands so far.
  }
}

function peakMemory(): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) * 1024;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { args } = JSON.parse(line) as { args: string[] };
  process.stdout.write(`${JSON.stringify(await runOnce(args))}\n`);
}
