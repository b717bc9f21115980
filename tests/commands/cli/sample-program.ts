/** A program of small commands that do what the tests of the shell around them need. */
import { writeFileSync } from 'node:fs';
import { type Program, runProgram } from '../../../src/commands/cli/main.ts';
import { command, withStatus } from '../../../src/commands/cli/record.ts';
import { BlockError, Cancelled, Usage } from '../../../src/core/errors/block-error.ts';

const info = command({
  name: 'info',
  group: 'Look at images',
  summary: 'Show what an image is',
  description: ['Reads the header only.'],
  arguments: { file: { name: 'FILE', help: 'The image' } },
  options: {
    format: {
      short: 'f',
      long: 'format',
      value: 'FMT',
      help: 'Format of the image, instead of finding it out from its first bytes',
    },
    output: { long: 'output', value: 'human|json', choices: ['human', 'json'], default: 'human', help: 'How to print' },
    options: { short: 'o', value: 'LIST', help: 'Options' },
    unsafe: { short: 'u', help: 'Do not look' },
  },
  examples: [['img info disk.qcow2', 'Look at a disk']],
  statuses: [[0, 'fine']],
  async run({ arguments: { file }, options }, io) {
    io.stdout.write(`${file} ${options.output} ${options.format}\n`);
    return 0;
  },
});

const fail = command({
  name: 'fail',
  summary: 'Fail in a given way',
  arguments: { how: { name: 'HOW', help: 'Which way' } },
  options: {},
  async run({ arguments: { how } }) {
    if (how === 'block') throw new BlockError('disk is on fire', { hint: 'Use water' });
    if (how === 'advice') throw new BlockError('not here', { followUp: "You can use 'img info' or io instead." });
    if (how === 'closing') {
      await using _ = { [Symbol.asyncDispose]: () => Promise.reject(new BlockError('cannot be closed')) };
      throw new BlockError('cannot be read');
    }
    if (how === 'usage') throw new Usage('wrong words');
    if (how === 'status') return await withStatus(2, () => Promise.reject(new BlockError('no such disk')));
    if (how === 'cancel') throw new Cancelled();
    if (how === 'system') writeFileSync('/nonexistent/x', '');
    if (how === 'later') {
      setImmediate(() => {
        throw new BlockError('too late');
      });
      await new Promise((done) => setTimeout(done, 1000));
    }
    if (how === 'hang') await new Promise(() => {});
    throw new TypeError('x is\nnot a function');
  },
});

const work = command({
  name: 'work',
  summary: 'Work until interrupted',
  arguments: { marks: { name: 'FILE', help: 'Where to say that it was cleaned up', optional: true } },
  options: { stubborn: { long: 'stubborn', help: 'Do not listen' } },
  async run({ arguments: { marks }, options }, io) {
    io.stdout.write('ready\n');
    await new Promise((done) => {
      const timer = setTimeout(done, 20_000);
      io.signal.addEventListener('abort', () => {
        io.stdout.write('interrupted\n');
        if (options.stubborn) return;
        clearTimeout(timer);
        done(undefined);
      });
    });
    if (marks !== undefined) writeFileSync(marks, 'clean');
    throw new Cancelled();
  },
});

const flood = command({
  name: 'flood',
  summary: 'Print much',
  arguments: {},
  options: {},
  async run(_, io) {
    for (let line = 0; line < 200_000 && !io.stdout.closed; line++) io.stdout.write(`line ${line}\n`);
    return io.stdout.closed ? 3 : 0;
  },
});

export const sample: Program = {
  name: 'img',
  summary: 'Try the shell around commands',
  commands: { info: async () => info, fail: async () => fail, work: async () => work, flood: async () => flood },
  notes: async () => ['Formats: raw qcow2'],
};

export function main(argv: readonly string[], programName: string): Promise<number> {
  return runProgram(sample, argv, programName);
}
