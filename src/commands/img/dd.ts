import { cacheMode } from '../../core/block/backend/cache-mode.ts';
import { operations } from '../../core/block/graph/operations.ts';
import { specFromFileName } from '../../core/block/graph/spec.ts';
import { readSize } from '../../core/bytes/sizes.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { convert } from '../../core/job/convert.ts';
import { driverList } from '../../drivers/index.ts';
import { command } from '../cli/record.ts';
import { sizeValue } from '../cli/values.ts';
import { OUTPUT_FORMAT_OPTION } from './creation-options.ts';
import { chainOptions, shared, withImages } from './open-image.ts';

export const dd = command({
  name: 'dd',
  group: 'Make images',
  summary: 'Copy a part of a disk into a new image, as dd does',
  description: [
    'The part begins with block number skip and ends before block number count, both counted from the beginning of the ' +
      'disk. The new image has the size of the part. Only these operands exist; nothing is printed on success.',
    'How the data is transferred does not depend on bs, and zeroes are not written.',
  ],
  arguments: {
    operands: {
      name: 'OPERAND',
      help: 'if=FILE (what to read), of=FILE (what to make), bs=SIZE (of a block, 512), count=BLOCKS, skip=BLOCKS',
      repeat: true,
      optional: true,
      offers: ['if=', 'of=', 'bs=', 'count=', 'skip='],
    },
  },
  options: {
    format: { ...shared.format, help: 'Format of the input; guessed from its content when not given' },
    outputFormat: { ...OUTPUT_FORMAT_OPTION, help: 'Format of the output' },
    imageOpts: { ...shared.imageOpts, help: 'The input is a list of options (driver=…,file.filename=…), not a name' },
    forceShare: shared.forceShare,
    ...chainOptions,
  },
  examples: [
    ['img dd bs=1M count=100 if=disk.qcow2 of=head.raw', 'The first 100 MiB of a disk'],
    ['img dd -O qcow2 bs=1M skip=1 if=disk.raw of=rest.qcow2', 'All but the first mebibyte, as qcow2'],
  ],
  run: ({ arguments: { operands }, options }, io) =>
    withImages(io, options, async (images) => {
      const words = readOperands(operands);
      const { format, outputFormat: driver, imageOpts, forceShare } = options;
      const source = await images.open(
        { name: words.input, format, imageOpts },
        { operation: operations.mirror.source, forceShare },
      );
      const { part, isPast } = partOf(words, source.size);
      if (isPast) {
        const start = `block ${words.skip}, where the copy is to begin,`;
        io.stderr.write(`${io.programName}: ${start} lies past the end of '${words.input}': the output is empty\n`);
      }
      await convert(images.graph, {
        sources: [source],
        part,
        target: {
          fileName: words.output,
          driver,
          spec: specFromFileName(driverList, words.output, driver),
          create: {},
          cache: cacheMode('writeback'),
        },
        signal: io.signal,
      });
      return 0;
    }),
});

interface Operands {
  readonly input: string;
  readonly output: string;
  /** Bytes of a block. */
  readonly block: number;
  /** Numbers of blocks of the input. */
  readonly skip: number;
  readonly count: number;
}

const NAMES = ['bs', 'count', 'if', 'of', 'skip'];
const MAX_BLOCK = 2 ** 31 - 1;

/** Of an operand given twice the last one holds. */
function readOperands(words: readonly string[]): Operands {
  const found = new Map<string, string>();
  for (const word of words) {
    const at = word.indexOf('=');
    const name = word.slice(0, Math.max(at, 0));
    if (!NAMES.includes(name)) throw new Usage(`unknown operand '${word}', there are ${NAMES.join('=, ')}=`);
    found.set(name, word.slice(at + 1));
  }
  const input = found.get('if');
  const output = found.get('of');
  if (input === undefined) throw new Usage('the input is missing: if=FILE');
  if (output === undefined) throw new Usage('the output is missing: of=FILE');
  const block = sizeValue(found.get('bs') ?? '512', "operand 'bs'");
  if (block < 1 || block > MAX_BLOCK) throw new Usage(`operand 'bs' expects 1 to ${MAX_BLOCK} bytes, not ${block}`);
  const blocks = (name: string) => {
    const text = found.get(name);
    return text === undefined ? undefined : blockCount(text, name);
  };
  return { input, output, block, skip: blocks('skip') ?? 0, count: blocks('count') ?? Number.POSITIVE_INFINITY };
}

/** More blocks than any disk has are as good as all of them. */
function blockCount(text: string, name: string): number {
  const read = readSize(text);
  if (read.ok) return read.value;
  if (read.reason === 'range' && !/^\s*-/.test(text)) return Number.MAX_SAFE_INTEGER;
  throw new Usage(`operand '${name}' expects a number of blocks such as 100 or 1k, not '${text}'`);
}

/** What to copy of a disk of `size` bytes. */
function partOf({ block, skip, count }: Operands, size: number) {
  const end = Math.min(size, count * block);
  const start = skip * block;
  const offset = Math.min(start, end);
  return { part: { offset, length: end - offset }, isPast: start > end };
}
