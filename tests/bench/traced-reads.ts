/**
 * What `trace.ts` starts, in a process of its own since it measures code that V8 has fitted to its use: nanoseconds of a
 * `read` of 4 KiB that is cached, in a script of `io`, recorded and not recorded. Prints them as JSON, a pair for each of
 * many pieces of the script that take turns.
 *
 *     node traced-reads.mjs IMAGE TRACE
 *
 * A machine changes its speed by a third from one second to the next, and by little within the twentieth of one that a
 * piece takes. After each that is recorded the thread that writes gets the time to end its work, so that it is not beside
 * those that are not.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { commandTable } from '../../src/commands/io/commands/index.ts';
import type { Input } from '../../src/commands/io/input.ts';
import { defaultModes, openImage } from '../../src/commands/io/open-image.ts';
import { runScript } from '../../src/commands/io/script.ts';
import { Shell } from '../../src/commands/io/shell.ts';
import { nextTurn } from '../../src/core/async/turn.ts';
import { BlockGraph } from '../../src/core/block/graph/block-graph.ts';
import { driverList } from '../../src/drivers/index.ts';

const LENGTH = 4096;
const BLOCKS = 4096;
const LINES = 10_000;
const PIECE = 64 * 1024;
const WARM_UP = 20;
const PAIRS = 200;
/** Longer than the thread sleeps between two looks at what there is, and what it then needs. */
const REST_MS = 25;

const [image = '', trace = ''] = process.argv.slice(2);
const nobody = { write: () => undefined, isTTY: false, columns: 80, closed: false };
const io = {
  programName: 'io',
  stdout: nobody,
  stderr: { ...nobody, write: (text: string | Uint8Array) => void process.stderr.write(text) },
  env: {},
  signal: new AbortController().signal,
  onUsr1: () => () => undefined,
};
const graph = new BlockGraph({ drivers: driverList, references: 'all', warn: (message) => io.stderr.write(message) });
const script = Buffer.from(
  Array.from({ length: LINES }, (_, index) => `read ${((index * 7919) % BLOCKS) * LENGTH} 4k\n`).join(''),
);

const plain = await open(undefined);
const traced = await open(trace);
const pairs: { plain: number; traced: number }[] = [];
for (let pair = -WARM_UP; pair < PAIRS; pair++) {
  const result = { plain: 0, traced: 0 };
  const turns = [
    async () => {
      result.plain = await piece(plain);
    },
    async () => {
      result.traced = await piece(traced);
      await sleep(REST_MS);
    },
  ];
  if (pair % 2 !== 0) turns.reverse();
  for (const turn of turns) await turn();
  if (pair >= 0) pairs.push(result);
}
await plain.close();
await traced.close();
process.stdout.write(JSON.stringify(pairs));

async function open(traceFile: string | undefined): Promise<Shell> {
  const shell = new Shell({ io, graph, commands: commandTable(), misaligned: false, imageOpts: false });
  const modes = { ...defaultModes, readOnly: true, forceShare: true, traceFile };
  shell.opened = await openImage(graph, { name: image, format: 'raw' }, modes);
  return shell;
}

/** Nanoseconds of a command when the script is run once. */
async function piece(shell: Shell): Promise<number> {
  const begin = process.hrtime.bigint();
  if (!(await runScript(shell, scriptInput()))) throw new Error('a read failed');
  return Number(process.hrtime.bigint() - begin) / LINES;
}

function scriptInput(): Input {
  let at = 0;
  return {
    async more() {
      await nextTurn();
      const next = at < script.length ? script.subarray(at, at + PIECE) : undefined;
      at += PIECE;
      return next;
    },
    close: () => undefined,
  };
}
