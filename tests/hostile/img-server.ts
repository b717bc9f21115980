/** The other end of `server/main.ts`: sends commands to it, and starts it again when one of them does not end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('../../', import.meta.url));
const TIMEOUT_MS = 20_000;

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Processor time in milliseconds. */
  readonly cpu: number;
  /** Peak resident memory in bytes, of the whole process. */
  readonly peak: number;
}

export class ImgServer implements AsyncDisposable {
  readonly #script: string;
  #child: ChildProcess | undefined;
  #lines: Interface | undefined;
  #answer: ((outcome: Outcome | Error) => void) | undefined;

  private constructor(script: string) {
    this.#script = script;
  }

  static async start(): Promise<ImgServer> {
    const script = join(root, 'node_modules', '.cache', 'blockyard', `img-server-${process.pid}.mjs`);
    const session = await rolldown({
      input: join(root, 'tests', 'hostile', 'server', 'main.ts'),
      cwd: root,
      platform: 'node',
      tsconfig: false,
      external: (id) => !/^[./]|oxc-project/.test(id),
      transform: { target: 'es2022' },
    });
    await session.write({ file: script, format: 'es', sourcemap: 'inline', codeSplitting: false });
    await session.close();
    return new ImgServer(script);
  }

  /** Run one command; throws when it does not end, or takes the process down. */
  async run(args: readonly string[]): Promise<Outcome> {
    const child = this.#child ?? this.#spawn();
    const timer = setTimeout(() => {
      this.#answer?.(new Error(`still running after ${TIMEOUT_MS} ms`));
      child.kill('SIGKILL');
    }, TIMEOUT_MS);
    try {
      const outcome = await new Promise<Outcome | Error>((resolve) => {
        this.#answer = resolve;
        child.stdin?.write(`${JSON.stringify({ args })}\n`);
      });
      if (outcome instanceof Error) throw new Error(`img ${args.join(' ')}: ${outcome.message}`);
      return outcome;
    } finally {
      clearTimeout(timer);
    }
  }

  #spawn(): ChildProcess {
    const child = spawn(process.execPath, ['--expose-gc', '--enable-source-maps', this.#script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: child.stdout });
    this.#lines.on('line', (line) => this.#answer?.(JSON.parse(line) as Outcome));
    child.on('exit', (code, signal) => {
      if (this.#child === child) this.#child = undefined;
      this.#answer?.(new Error(`the process ended with ${signal ?? `status ${code}`}`));
    });
    child.stdin.on('error', () => undefined);
    this.#child = child;
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#script, { force: true });
    const child = this.#child;
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.on('exit', resolve));
    child.stdin?.end();
    await ended;
  }
}
