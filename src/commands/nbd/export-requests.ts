/** Which exports are to be served: the one of FILE and its options, and those of `--export`. */
import { Usage, withContext } from '../../core/errors/block-error.ts';
import {
  bool,
  crumple,
  defineOptions,
  either,
  integer,
  list,
  parseKeyValues,
  text,
  validate,
} from '../../core/options/index.ts';
import type { NbdLine } from './command-line.ts';

export interface ExportRequest {
  readonly name: string;
  readonly description: string | undefined;
  /** A file name, or an option string with `imageOpts`. */
  readonly file: string;
  readonly imageOpts: boolean;
  readonly format: string | undefined;
  readonly readOnly: boolean;
  readonly snapshot: boolean;
  /** Serve this internal snapshot. */
  readonly loadSnapshot: string | undefined;
  /** Where it begins in the image, in bytes. */
  readonly offset: number;
  readonly bitmaps: readonly string[];
  readonly allocationDepth: boolean;
}

const exportOptions = defineOptions({
  name: text({ help: 'Name of the export', default: '' }),
  file: text({ help: 'The image', required: true, nonEmpty: true }),
  description: text({ help: 'For a human reader' }),
  format: text({ help: 'Format of the image; guessed when not given' }),
  'read-only': bool({ help: 'Let nobody write', default: false }),
  'load-snapshot': text({ help: 'Serve this internal snapshot' }),
  snapshot: bool({ help: 'Let writes go to a temporary overlay', default: false }),
  offset: integer({ help: 'Where in the image it begins, in bytes', default: 0, min: 0 }),
  bitmap: either(
    text({ help: 'Dirty bitmap to tell of' }),
    list(text({ help: 'Dirty bitmap to tell of', required: true }), { help: 'Several of them' }),
    { help: 'Dirty bitmap to tell of, or several: bitmap.0=…,bitmap.1=…' },
  ),
  'allocation-depth': bool({ help: 'Tell which layer holds what', default: false }),
});

/** @throws Usage when there is nothing to serve, or two exports have one name. */
export function exportRequests({ arguments: { file }, options }: NbdLine): ExportRequest[] {
  const requests: ExportRequest[] = options.exports.map(parseExport);
  if (file !== undefined) requests.unshift(mainExport(file, options));
  if (requests.length === 0) throw new Usage('an image is missing: FILE or --export name=NAME,file=FILE');
  if (options.connect !== undefined && file === undefined && requests.length > 1) {
    throw new Usage('with -c, FILE says which image becomes the disk');
  }
  const names = new Set<string>();
  for (const { name } of requests) {
    if (names.has(name)) throw new Usage(`two exports have the name '${name}'`);
    names.add(name);
  }
  return requests;
}

function mainExport(file: string, options: NbdLine['options']): ExportRequest {
  const { description, imageOpts, format, snapshot, loadSnapshot, offset, bitmaps, allocationDepth } = options;
  return {
    name: options.exportName,
    description,
    file,
    imageOpts,
    format,
    readOnly: options.readOnly || loadSnapshot !== undefined,
    snapshot,
    loadSnapshot,
    offset,
    bitmaps,
    allocationDepth,
  };
}

function parseExport(value: string): ExportRequest {
  try {
    const fields = validate(exportOptions, crumple(parseKeyValues(value)), 'an export');
    if (fields.snapshot && fields['load-snapshot'] !== undefined) {
      throw new Usage('an export cannot have both snapshot and load-snapshot');
    }
    return {
      name: fields.name,
      description: fields.description,
      file: fields.file,
      imageOpts: false,
      format: fields.format,
      readOnly: fields['read-only'] || fields['load-snapshot'] !== undefined,
      loadSnapshot: fields['load-snapshot'],
      snapshot: fields.snapshot,
      offset: fields.offset,
      bitmaps: [fields.bitmap ?? []].flat(),
      allocationDepth: fields['allocation-depth'],
    };
  } catch (error) {
    throw new Usage(withContext('--export', error).message);
  }
}
