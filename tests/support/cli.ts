/** Our own programs as a user runs them: the built ones in bin/, each in a process of its own. */
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const root = fileURLToPath(new URL('../../', import.meta.url));
const peakHook = join(root, 'tests', 'support', 'peak-memory.cjs');

export type Program = 'img' | 'io' | 'nbd';

/** Full path of a program, for tests that start it themselves. */
export function programPath(program: Program): string {
  return join(root, 'bin', program);
}

export interface RunOptions {
  readonly cwd?: string;
  readonly input?: string | Uint8Array;
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds after which the program is killed and the test fails; default 30 s. */
  readonly timeout?: number;
  /** Run it through a link of this name, e.g. `qemu-img`. */
  readonly calledAs?: string;
  /** Measure {@link RunResult.peakMemory} (Linux). */
  readonly measureMemory?: boolean;
  /** Limit of V8's own heap in MiB, beside which buffers and libraries take memory. */
  readonly heapLimit?: number;
  /** Aborted: the program gets SIGINT. */
  readonly interrupt?: AbortSignal;
}

export interface RunResult {
  /** Exit status; 128 + n when signal n ended the program is not made up: see `signal`. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
  /** Wall time in milliseconds, start-up included. */
  readonly elapsed: number;
  /** Peak resident memory in bytes; undefined unless asked for and the program ended by itself. */
  readonly peakMemory: number | undefined;
}

/** Run `img` with these arguments. */
export function img(args: readonly string[], options?: RunOptions): Promise<RunResult> {
  return runProgram('img', args, options);
}

/** Run `img`, which must end with status 0; returns its standard output. */
export async function imgOutput(args: readonly string[], options?: RunOptions): Promise<string> {
  const { code, stdout, stderr } = await img(args, options);
  if (code !== 0) throw new Error(`img ${args.join(' ')} ended with status ${code}: ${stderr}${stdout}`);
  return stdout;
}

/** Run one of our programs to its end. Any exit status is a result; only a timeout throws. */
export async function runProgram(
  program: Program,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const scratch = mkdtempSync(join(tmpdir(), 'blockyard-run-'));
  try {
    const peakFile = join(scratch, 'peak');
    const nodeArgs = [
      ...(options.measureMemory ? ['--require', peakHook] : []),
      ...(options.heapLimit === undefined ? [] : [`--max-old-space-size=${options.heapLimit}`]),
    ];
    const { timeout = 30_000 } = options;
    const begin = performance.now();
    const running = execa(process.execPath, [...nodeArgs, pathAs(program, options.calledAs, scratch), ...args], {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
      env: { ...options.env, ...(options.measureMemory ? { BLOCKYARD_PEAK_FILE: peakFile } : {}) },
      timeout,
      killSignal: 'SIGKILL',
      reject: false,
      stripFinalNewline: false,
    });
    options.interrupt?.addEventListener('abort', () => running.kill('SIGINT'), { once: true });
    const result = await running;
    const elapsed = performance.now() - begin;
    if (result.timedOut) throw new Error(`${program} ${args.join(' ')}: still running after ${timeout} ms`);
    const { exitCode: code, signal, stdout, stderr } = result;
    return { code, signal, stdout, stderr, elapsed, peakMemory: readPeak(peakFile) };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function pathAs(program: Program, name: string | undefined, scratch: string): string {
  if (name === undefined) return programPath(program);
  const link = join(scratch, name);
  symlinkSync(programPath(program), link);
  return link;
}

function readPeak(file: string): number | undefined {
  try {
    return Number(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
