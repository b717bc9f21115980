/** From what flags say to an image that commands work on. */
import { Backend } from '../../core/block/backend/backend.ts';
import { type CacheMode, cacheMode } from '../../core/block/backend/cache-mode.ts';
import { withAio } from '../../core/block/graph/aio-spec.ts';
import type { BlockGraph } from '../../core/block/graph/block-graph.ts';
import type { Node } from '../../core/block/graph/node.ts';
import { operations } from '../../core/block/graph/operations.ts';
import { crumpleSpec, type NodeSpec, specFromFileName, specFromOptions } from '../../core/block/graph/spec.ts';
import { BlockError, Usage, withContext } from '../../core/errors/block-error.ts';
import { makeTemporaryOverlay } from '../../core/job/temporary-overlay.ts';
import { isJsonName, isRecord, type Options } from '../../core/options/index.ts';
import { traced } from '../cli/trace-option.ts';

/** How to open an image, whatever it is called. */
export interface OpenModes {
  readonly readOnly: boolean;
  readonly cache: CacheMode;
  /** Pass discards on. */
  readonly unmap: boolean;
  readonly forceShare: boolean;
  /** Bytes that are read from a backing file are kept. */
  readonly copyOnRead: boolean;
  /** Writes go to a temporary overlay. */
  readonly snapshot: boolean;
  readonly aio?: string | undefined;
  /** Record requests in this file. */
  readonly traceFile?: string | undefined;
}

/** Writes are stable before they complete unless a cache mode says otherwise. */
export const defaultModes: OpenModes = {
  readOnly: false,
  cache: cacheMode('writethrough'),
  unmap: true,
  forceShare: false,
  copyOnRead: false,
  snapshot: false,
};

export interface ImageRequest {
  /** A file name, or an option string with `imageOpts`. */
  readonly name?: string | undefined;
  readonly imageOpts?: boolean | undefined;
  readonly format?: string | undefined;
  /** Further options of the node, flat, with dotted keys. */
  readonly options?: Options;
}

/** An image together with what it takes to open it again. */
export class OpenedImage {
  readonly backend: Backend;
  /** What it was opened from at first: reopening starts from there each time. */
  readonly spec: NodeSpec;
  /** What it is open with now. */
  readonly current: NodeSpec;
  readonly modes: OpenModes;
  /** The name that errors give it. */
  readonly name: string | undefined;
  readonly #dispose: () => void;

  constructor(init: Pick<OpenedImage, 'backend' | 'spec' | 'current' | 'modes' | 'name'> & { dispose: () => void }) {
    this.backend = init.backend;
    this.spec = init.spec;
    this.current = init.current;
    this.modes = init.modes;
    this.name = init.name;
    this.#dispose = init.dispose;
  }

  async close(): Promise<void> {
    try {
      await this.backend.close();
    } finally {
      this.#dispose();
    }
  }

  /**
   * Open it with these options beside those it had at first; what an earlier reopening set is as before. It is closed in between, since two openings of one image would lock each
   * other out; when the new options do not work, the old ones are back in force and the error is thrown.
   */
  async reopen(graph: BlockGraph, options: Options, modes: OpenModes): Promise<OpenedImage> {
    let changed: NodeSpec;
    try {
      const node = belowOwn(this.backend.image, this.modes);
      changed = changeSpec(this.spec, crumpleSpec(options), node);
    } catch (error) {
      throw new ReopenFailed(error, this);
    }
    const again = (current: NodeSpec, how: OpenModes): Promise<OpenedImage> =>
      openSpec(graph, { spec: this.spec, current, modes: how, name: this.name, dispose: this.#dispose });
    await this.backend.close();
    try {
      return await again(changed, modes);
    } catch (error) {
      throw new ReopenFailed(error, await again(this.current, this.modes));
    }
  }
}

/** The new options did not work; `image` is open with the old ones. */
export class ReopenFailed extends Error {
  readonly image: OpenedImage;
  constructor(cause: unknown, image: OpenedImage) {
    super('reopening failed', { cause });
    this.image = image;
  }
}

/** Open an image; the error says which. */
export async function openImage(graph: BlockGraph, request: ImageRequest, modes: OpenModes): Promise<OpenedImage> {
  const { name } = request;
  try {
    const spec = withModeOfIo(specOf(graph, request), modes);
    if (!modes.snapshot) return await openSpec(graph, { spec, modes, name, dispose: () => undefined });
    const overlay = await makeTemporaryOverlay(graph, spec);
    try {
      return await openSpec(graph, { spec: overlay.spec, modes, name, dispose: overlay.dispose });
    } catch (error) {
      overlay.dispose();
      throw error;
    }
  } catch (error) {
    throw withContext(name === undefined || request.imageOpts ? "can't open" : `can't open device ${name}`, error);
  }
}

type Opening = Pick<OpenedImage, 'spec' | 'modes' | 'name'> & {
  /** Default: `spec`. */
  readonly current?: NodeSpec;
  readonly dispose: () => void;
};

async function openSpec(
  graph: BlockGraph,
  { spec, current = spec, modes, name, dispose }: Opening,
): Promise<OpenedImage> {
  const { readOnly, cache, unmap, forceShare } = modes;
  const kept: NodeSpec = modes.copyOnRead ? { driver: 'copy-on-read', file: current } : current;
  const backend = await Backend.open(graph, traced(kept, modes.traceFile), {
    user: name === undefined ? 'the image' : `'${name}'`,
    permissions: readOnly ? operations.read.image : operations.write.image,
    writethrough: cache.writethrough,
    open: { modes: { readOnly, unmap, forceShare, direct: cache.direct, noFlush: cache.noFlush } },
  });
  return new OpenedImage({ backend, spec, current, modes, name, dispose });
}

function specOf(graph: BlockGraph, { name, imageOpts, format, options = {} }: ImageRequest): NodeSpec {
  if (imageOpts && name !== undefined) {
    if (format !== undefined) throw new Usage('a format cannot be given for an image described by options');
    return specFromOptions(name);
  }
  const { drivers } = graph.settings;
  if (name === undefined) return crumpleSpec(options);
  // What is given directly comes before what the name says.
  if (isJsonName(name)) return merged(specFromFileName(drivers, name, format), crumpleSpec(options));
  const { driver, ...rest } = crumpleSpec(options);
  if (format !== undefined && driver !== undefined && driver !== format) {
    throw new Usage(`format '${format}' and driver '${driver}' cannot both be asked for`);
  }
  return merged(specFromFileName(drivers, name, format ?? driver), rest);
}

/** Groups are merged, everything else is replaced. */
function merged(spec: NodeSpec, changes: Options): NodeSpec {
  const result: Record<string, unknown> = { ...spec };
  for (const [key, value] of Object.entries(changes)) {
    const before = result[key];
    result[key] = isRecord(before) && isRecord(value) ? merged(before, value) : value;
  }
  return result;
}

/** The node that the options of an image are about, below the filter that a flag has put on top. */
function belowOwn(image: Node, { copyOnRead }: OpenModes): Node | undefined {
  return copyOnRead ? image.child('file')?.node : image;
}

/** Options that say what an image is, and so stay as they are. */
const FIXED = ['driver', 'filename', 'node-name'];

/** `node` is what `spec` has become, and its children what the groups of options in it have. */
function changeSpec(spec: NodeSpec, changes: NodeSpec, node: Node | undefined): NodeSpec {
  const before: NodeSpec = { driver: node?.driver.name, filename: node?.fileName, ...spec };
  for (const key of FIXED) {
    if (changes[key] !== undefined && changes[key] !== before[key]) {
      throw new BlockError(`Cannot change the option '${key}'`);
    }
  }
  const result: Record<string, unknown> = { ...spec };
  for (const [key, value] of Object.entries(changes)) {
    const part = spec[key];
    result[key] = isRecord(value) ? changeSpec(isRecord(part) ? part : {}, value, node?.child(key)?.node) : value;
  }
  return result;
}

function withModeOfIo(spec: NodeSpec, { aio }: OpenModes): NodeSpec {
  return aio === undefined ? spec : withAio(spec, aio);
}

const DISCARDS: Readonly<Record<string, boolean>> = { ignore: false, off: false, unmap: true, on: true };

/** Whether discards are passed on; undefined for a word that does not exist. */
export function discardMode(word: string): boolean | undefined {
  return Object.hasOwn(DISCARDS, word) ? DISCARDS[word] : undefined;
}
