/** What `create` does with its flags: find out the backing file and the size, say what is made, make it. */
import type { BlockGraph } from '../../core/block/graph/block-graph.ts';
import { asBlockError, BlockError, Usage } from '../../core/errors/block-error.ts';
import { assertBackingName, inspectBacking } from '../../core/job/backing-file.ts';
import { type CreationOptions, createImage, creationOptions } from '../../core/job/create-image.ts';
import { fieldsOf } from '../../core/options/structures.ts';
import { formattingLine, type Typed } from './creation-options.ts';
import { namingImage } from './open-image.ts';

export interface ImageToMake {
  readonly file: string;
  readonly format: string;
  /** Bytes; undefined where it comes from an option or from the backing file. */
  readonly size: number | string | undefined;
  readonly backing: string | undefined;
  readonly backingFormat: string | undefined;
  /** Take the backing file's name on trust. */
  readonly unsafe: boolean;
  /** What `-o` says. */
  readonly options: Typed;
}

export interface Surroundings {
  readonly graph: BlockGraph;
  readonly signal: AbortSignal;
  /** Told the line that shows what is about to be made. */
  say(line: string): void;
}

export async function makeImage(image: ImageToMake, { graph, signal, say }: Surroundings): Promise<void> {
  const found = await creationOptions(graph, image.format, image.file);
  const typed = withBacking(image, found);
  const size = await sizeOf(image, { typed, format: found.format }, graph);
  const options = { ...typed, ...(size === undefined ? {} : { size }) };
  say(formattingLine(image.file, found, options));
  try {
    await createImage(graph, { driver: image.format, fileName: image.file, options, signal });
  } catch (error) {
    throw namingImage(image.file, tooLarge(error, found), 'create');
  }
}

/** Flags win over options of the same meaning. */
function withBacking({ backing, backingFormat, options }: ImageToMake, found: CreationOptions): Typed {
  const all = {
    ...options,
    ...(backing === undefined ? {} : { backing_file: backing }),
    ...(backingFormat === undefined ? {} : { backing_fmt: backingFormat }),
  };
  const takesBacking = Object.hasOwn(fieldsOf(found.format.create.options), 'backing_file');
  if (!takesBacking && (backing !== undefined || backingFormat !== undefined)) {
    throw new Usage(`format '${found.format.driver.name}' has no backing files`);
  }
  return all;
}

/** The size as it was typed, or that of the backing file, which is looked at in any case unless told not to. */
async function sizeOf(
  image: ImageToMake,
  { typed, format }: { readonly typed: Typed; readonly format: CreationOptions['format'] },
  graph: BlockGraph,
): Promise<unknown> {
  if (image.size !== undefined && typed.size !== undefined) {
    throw new Usage('the size is given twice, as an argument and as an option');
  }
  const given = image.size ?? typed.size;
  const { backing_file: backingFile, backing_fmt: backingFormat } = typed;
  let found: number | undefined;
  if (typeof backingFile === 'string') {
    const request = {
      fileName: image.file,
      backingFile,
      ...(typeof backingFormat === 'string' ? { backingFormat } : {}),
    };
    if (image.unsafe) assertUsable(request);
    else found = (await inspectBacking(graph, { ...request, unopened: UNOPENED })).size;
  }
  const size = given ?? found;
  if (size !== undefined || format.create.sizeIsOptional?.(typed)) return size;
  throw new Usage(`the size of '${image.file}' is not given`, {
    hint: 'Give it behind the name, such as 10G; it can be left out for an image with a backing file that is opened',
  });
}

/** Scripts know it as a line of its own. */
const UNOPENED = 'Could not open backing image.';

/** What can be asked of a backing file that is not opened. */
function assertUsable(request: { fileName: string; backingFile: string; backingFormat?: string }): void {
  assertBackingName(request.fileName, request.backingFile);
  if (request.backingFormat !== undefined) return;
  throw new Usage(`the format of backing file '${request.backingFile}' is not given`, {
    hint: 'Give it with -F',
  });
}

function tooLarge(error: unknown, { format }: CreationOptions): unknown {
  const { code } = asBlockError(error);
  if (code !== 'EFBIG') return error;
  const hasClusters = Object.hasOwn(fieldsOf(format.create.options), 'cluster_size');
  return new BlockError(`the image size is too large for format '${format.driver.name}'`, {
    code,
    cause: error,
    ...(hasClusters ? { hint: 'Try a larger cluster size' } : {}),
  });
}
