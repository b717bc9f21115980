import { displayName } from '../../core/block/graph/file-name.ts';
import { type MapRange, mapLayers } from '../../core/block/graph/layer-map.ts';
import type { Node } from '../../core/block/graph/node.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import type { Io } from '../cli/io.ts';
import { hex, printable, writeText } from '../cli/output.ts';
import { command } from '../cli/record.ts';
import { LAX_BASE_OPTION } from '../cli/strict-base-option.ts';
import { sizeValue } from '../cli/values.ts';
import { chainOptions, shared, withImages } from './open-image.ts';

export const map = command({
  name: 'map',
  group: 'Look at images',
  summary: 'Show where the data of an image lies',
  description: [
    'Lists the areas of the disk with the file of the backing chain that holds them. The table for people shows ' +
      'data only, and ends with an error at data that does not lie in a file as it is (compressed, for one); the ' +
      'JSON form shows all areas.',
    'In the JSON form depth is the number of layers above the one that answered; present tells whether that layer ' +
      'holds the area itself.',
  ],
  arguments: { file: { name: 'FILE', help: 'The image' } },
  options: {
    format: shared.format,
    imageOpts: shared.imageOpts,
    start: {
      short: 's',
      long: 'start-offset',
      value: 'OFFSET',
      parse: sizeValue,
      help: 'Where on the disk to begin',
    },
    length: {
      short: 'l',
      long: 'max-length',
      value: 'LENGTH',
      parse: sizeValue,
      help: 'How much of the disk to show; by default up to its end',
    },
    output: { ...shared.output, conflicts: ['html', 'svg'] },
    html: {
      long: 'html',
      value: 'PAGE',
      help: 'Draw the map, by kind and layer of the chain, on a page that needs no network, and print nothing',
    },
    svg: { long: 'svg', value: 'PICTURE', help: 'The same as a picture alone' },
    forceShare: shared.forceShare,
    ...chainOptions,
    strictBase: LAX_BASE_OPTION,
  },
  examples: [
    ['img map disk.qcow2', 'Which data lies where'],
    ['img map --html disk.html disk.qcow2', 'A picture of the image, for a browser'],
    ['img map --output=json -s 1G -l 64M disk.qcow2', 'All areas of a part of the disk, for a program'],
  ],
  run: ({ arguments: { file }, options }, io) =>
    // Where data lies is as true on a base that may have changed as on any.
    withImages(io, { ...options, changedBase: 'warn-certain' }, async (images) => {
      const request = { name: file, format: options.format, imageOpts: options.imageOpts };
      const { image, size } = await images.open(request, { forceShare: options.forceShare });
      const { start = 0, length = size } = options;
      const ranges = mapLayers(image, start, Math.min(size, start + length));
      if (options.html !== undefined || options.svg !== undefined) {
        await draw(ranges, image, options, io);
        return 0;
      }
      await (options.output === 'json' ? printJson : printTable)(ranges, io);
      return 0;
    }),
});

/** Write what was asked for: a page, a picture or both. */
async function draw(
  ranges: AsyncIterable<MapRange>,
  image: Node,
  files: { readonly html: string | undefined; readonly svg: string | undefined },
  io: Io,
): Promise<void> {
  const { drawMap } = await import('./map-picture/draw.ts');
  const { html, svg } = await drawMap(ranges, image, io.signal);
  if (files.html !== undefined) writeText(files.html, html());
  if (files.svg !== undefined) writeText(files.svg, svg());
}

const COLUMN = 16;

/** Data only: what is data to one layer and zeroes to another counts as zeroes, and is not shown. */
async function printTable(ranges: AsyncIterable<MapRange>, io: Io): Promise<void> {
  io.stdout.write(`${['Offset', 'Length', 'Mapped to'].map((title) => title.padEnd(COLUMN)).join('')}File\n`);
  for await (const range of ranges) {
    stopIfAsked(io);
    if (!range.data) continue;
    if (range.hostOffset === undefined)
      throw new BlockError('File contains external, encrypted or compressed clusters');
    if (range.zero) continue;
    const numbers = [range.offset, range.length, range.hostOffset].map((value) => hex(value).padEnd(COLUMN)).join('');
    io.stdout.write(`${numbers}${range.file ? printable(displayName(range.file)) : ''}\n`);
    if (io.stdout.closed) return;
  }
}

/** One object a line, in one array; not one character of it may change: programs split it by line. */
async function printJson(ranges: AsyncIterable<MapRange>, io: Io): Promise<void> {
  io.stdout.write('[');
  let separator = '';
  for await (const range of ranges) {
    stopIfAsked(io);
    io.stdout.write(separator + jsonLine(range));
    separator = ',\n';
    if (io.stdout.closed) return;
  }
  io.stdout.write(']\n');
}

function jsonLine(range: MapRange): string {
  const { offset, length, depth, present, zero, data, hostOffset } = range;
  const where = hostOffset === undefined ? '' : `, "offset": ${hostOffset}`;
  return (
    `{ "start": ${offset}, "length": ${length}, "depth": ${depth}, "present": ${present}, ` +
    `"zero": ${zero}, "data": ${data}${where}}`
  );
}

function stopIfAsked(io: Io): void {
  io.signal.throwIfAborted();
}
