import { hasProtocol } from '../../core/block/graph/file-name.ts';
import { specFromFileName } from '../../core/block/graph/spec.ts';
import { formatSize } from '../../core/bytes/sizes.ts';
import { type Inspection, inspectImage } from '../../core/job/inspect/inspect-image.ts';
import { riskCodes } from '../../core/job/inspect/risks.ts';
import { driverList } from '../../drivers/index.ts';
import { prettyJson, printable } from '../cli/output.ts';
import { command } from '../cli/record.ts';
import { sizeValue } from '../cli/values.ts';
import { shared, withImages } from './open-image.ts';

const STATUS = { safe: 0, risky: 2, invalid: 3 } as const;

export const inspect = command({
  name: 'inspect',
  group: 'Look at images',
  summary: 'Judge an image of unknown origin before anything trusts it',
  description: [
    'Reads the metadata of one file, within fixed bounds, and says what it is, what it asks for and what may be bad ' +
      'about it. Nothing that the image names is opened, no data is read, and nothing is written. The verdict is safe, ' +
      'risky or invalid; each risk has a code that stays the same for programs.',
    `The codes are: ${riskCodes.join(', ')}.`,
    'A raw file has nothing to be judged by, and is safe when it is used as raw (-f raw) and nothing else.',
  ],
  arguments: { file: { name: 'FILE', help: 'A file of the host' } },
  options: {
    format: shared.format,
    untrusted: { long: 'untrusted', help: 'Whatever other file the image names is a risk, wherever it lies' },
    maxSize: {
      long: 'max-size',
      value: 'SIZE',
      parse: sizeValue,
      help: 'A longer disk is a risk; without it one that is out of all proportion to its file',
    },
    noCheck: { long: 'no-check', help: 'Do not look for errors in the tables, which takes time for large images' },
    output: shared.output,
    quiet: { ...shared.quiet, help: 'Print nothing: the verdict is the exit status' },
  },
  statuses: [
    [STATUS.safe, 'Safe'],
    [1, 'The file could not be inspected, or the command line is wrong'],
    [STATUS.risky, 'Risky'],
    [STATUS.invalid, 'Invalid'],
  ],
  examples: [
    ['img inspect --untrusted --max-size 100G upload.qcow2', 'May this upload be used'],
    ['img inspect --untrusted --output=json upload.img', 'The same for a program'],
  ],
  run: ({ arguments: { file }, options }, io) =>
    withImages(io, { refs: 'none', objects: [] }, async (images) => {
      // The path as it stands: a name must not be able to ask for a protocol.
      const path = hasProtocol(file) ? `./${file}` : file;
      const found = await inspectImage(images.graph, {
        path: file,
        spec: specFromFileName(driverList, path, options.format),
        untrusted: options.untrusted,
        maxSize: options.maxSize,
        check: !options.noCheck,
        signal: io.signal,
      });
      if (!options.quiet) {
        io.stdout.write(options.output === 'json' ? `${prettyJson(record(file, found))}\n` : lines(file, found));
      }
      return STATUS[found.verdict];
    }),
});

function record(filename: string, found: Inspection): Readonly<Record<string, unknown>> {
  const { verdict, fileSize, formats, image, references, risks } = found;
  return {
    filename,
    verdict,
    'file-size': fileSize,
    signatures: formats,
    format: image?.format,
    'virtual-size': image?.['virtual-size'],
    'dirty-flag': image?.['dirty-flag'],
    encrypted: image ? (image.encrypted ?? false) : undefined,
    snapshots: image?.snapshots?.length,
    features: image?.['format-specific']?.data,
    references,
    risks,
  };
}

function lines(filename: string, found: Inspection): string {
  const { verdict, fileSize, formats, image, references, risks } = found;
  const text = [`image: ${filename}`, `verdict: ${verdict}`, `file size: ${formatSize(fileSize)} (${fileSize} bytes)`];
  if (formats.length > 0) text.push(`marks of formats: ${formats.join(', ')}`);
  if (image) {
    const size = image['virtual-size'];
    text.push(`format: ${image.format}`, `virtual size: ${formatSize(size)} (${size} bytes)`);
    if (image.snapshots) text.push(`snapshots: ${image.snapshots.length}`);
  }
  for (const { role, name, format } of references) {
    text.push(`asks for: ${role} ${name}${format === undefined ? '' : ` (${format})`}`);
  }
  for (const { code, text: words } of risks) text.push(`risk: ${code}: ${words}`);
  return `${text.map(printable).join('\n')}\n`;
}
