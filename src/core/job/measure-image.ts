/** How large a new image would become, for a disk of a given size or for the content of an image. */
import { after } from '../async/maybe.ts';
import type { Backend } from '../block/backend/backend.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import { NotSupported } from '../errors/block-error.ts';
import { validate } from '../options/parse.ts';
import type { Options } from '../options/schema.ts';
import { creationOptions } from './create-image.ts';

export interface MeasureRequest {
  /** Format of the new image. */
  readonly driver: string;
  /** Its creation options under their command-line names. */
  readonly options: Options;
  /** Length of an empty disk in bytes, which may be beyond what can be addressed, or an image, opened for reading, whose content is to be stored. */
  readonly content: number | Backend;
}

export interface ImageMeasure {
  /** Bytes of the file for the content there is. */
  readonly required: number;
  /** Bytes once every part of the disk has been written. */
  readonly fullyAllocated: number;
  /** Bytes on top for the bitmaps of the source, where both formats can have some. */
  readonly bitmaps?: number;
}

/** Measure; throws NotSupported for a format that cannot be made or cannot tell. */
export async function measureImage(graph: BlockGraph, request: MeasureRequest): Promise<ImageMeasure> {
  const { driver, content } = request;
  const { schema, format } = await creationOptions(graph, driver);
  const { measure } = format.create;
  if (!measure) throw new NotSupported(`format '${driver}' cannot tell how large an image would become`);
  const { size: _ignored, ...rest } = request.options;
  const options = validate(schema, rest, `the ${driver} format`);
  if (typeof content === 'number') return measure({ options, size: content });
  return measure({
    options,
    source: content.root,
    sourceStatus: (offset, length) =>
      after(content.chainStatus(offset, length), (extent) => ({
        length: extent.length,
        allocated: extent.allocated,
        data: extent.data,
        zero: extent.zero,
      })),
  });
}
