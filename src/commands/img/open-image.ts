/**
 * From parsed flags to an opened image: what the subcommands share. The option records stand here once;
 * each subcommand takes those it has and hands their values to {@link openImage}.
 */
import { Closer } from '../../core/async/closer.ts';
import { Backend } from '../../core/block/backend/backend.ts';
import { type CacheMode, cacheMode } from '../../core/block/backend/cache-mode.ts';
import { withAio } from '../../core/block/graph/aio-spec.ts';
import { BlockGraph } from '../../core/block/graph/block-graph.ts';
import type { OpenSettings } from '../../core/block/graph/open.ts';
import { type OperationPart, operations } from '../../core/block/graph/operations.ts';
import type { ReferencePolicy } from '../../core/block/graph/references.ts';
import { snapshotSpec } from '../../core/block/graph/snapshot-spec.ts';
import { type NodeSpec, specFromFileName, specFromOptions } from '../../core/block/graph/spec.ts';
import { type BlockError, naming, Usage, withContext } from '../../core/errors/block-error.ts';
import { driverList } from '../../drivers/index.ts';
import { type Io, userLines } from '../cli/io.ts';
import { addObjects, OBJECT_OPTION, type UserObject } from '../cli/object-value.ts';
import { PROGRESS_OPTION } from '../cli/progress.ts';
import { type OptionSpecs, withStatus } from '../cli/record.ts';
import { REFS_OPTION } from '../cli/refs-option.ts';
import { FAILED } from '../cli/report.ts';
import { changedBase, STRICT_BASE_OPTION } from '../cli/strict-base-option.ts';
import { traced } from '../cli/trace-option.ts';

/** Options that several subcommands have. */
export const shared = {
  format: {
    short: 'f',
    long: 'format',
    value: 'FMT',
    help: 'Format of the image; guessed from its content when not given',
    conflicts: ['imageOpts'],
  },
  imageOpts: { long: 'image-opts', help: 'FILE is a list of options (driver=…,file.filename=…), not a name' },
  output: {
    long: 'output',
    value: 'human|json',
    choices: ['human', 'json'],
    default: 'human',
    help: 'How to print the result',
  },
  forceShare: {
    short: 'U',
    long: 'force-share',
    help: 'Open the image even while another program writes to it; what is read may then be inconsistent',
  },
  targetCache: {
    short: 't',
    value: 'CACHE',
    parse: cacheValue,
    help: 'Cache mode for writing: none, writeback, writethrough, directsync or unsafe',
  },
  sourceCache: {
    short: 'T',
    value: 'CACHE',
    parse: cacheValue,
    help: 'Cache mode for reading: none, writeback, writethrough, directsync or unsafe',
  },
  snapshot: {
    short: 'l',
    value: 'SNAPSHOT',
    help: 'Read this internal snapshot: its id, its name, or snapshot.id=ID,snapshot.name=NAME',
  },
  progress: PROGRESS_OPTION,
  quiet: { short: 'q', long: 'quiet', help: 'Print errors only' },
  objects: OBJECT_OPTION,
  refs: REFS_OPTION,
  strictBase: STRICT_BASE_OPTION,
} as const satisfies OptionSpecs;

/** Options of all that opens an image with its backing chain. */
export const chainOptions = {
  objects: shared.objects,
  refs: shared.refs,
  strictBase: shared.strictBase,
} as const satisfies OptionSpecs;

/** Reader of a cache mode option: the word as the properties it stands for. */
export function cacheValue(text: string, option: string): CacheMode {
  try {
    return cacheMode(text);
  } catch (error) {
    throw new Usage(withContext(option, error).message);
  }
}

/** The graph of one run of a command. Close it when done: that closes whatever is still open in it. */
function newGraph(io: Io, { refs, strictBase, changedBase: otherwise }: Surroundings): BlockGraph {
  return new BlockGraph({
    drivers: driverList,
    references: refs,
    changedBase: changedBase(strictBase, otherwise),
    ...userLines(io),
    signal: io.signal,
  });
}

/** What the command line says of the graph as a whole; the options of a subcommand have it. */
export interface Surroundings {
  readonly refs: ReferencePolicy;
  readonly strictBase?: boolean;
  /** Without `strictBase`; default: warn. */
  readonly changedBase?: 'warn' | 'warn-certain';
  readonly objects: readonly UserObject[];
  /** Exit status when an object cannot be defined; default that of any failure. */
  readonly openStatus?: number;
}

export interface ImageRequest {
  /** As typed: a file name, or an option string with `imageOpts`. */
  readonly name: string;
  readonly format?: string | undefined;
  readonly imageOpts?: boolean;
}

/** What to do with the image, and how. */
export interface OpenImageOptions {
  /** Permissions; default those of a command that only reads. */
  readonly operation?: OperationPart;
  /** Open for writing; default false. */
  readonly writable?: boolean;
  readonly forceShare?: boolean;
  readonly cache?: CacheMode | undefined;
  /** How the host file carries out requests that wait; default that of the driver. */
  readonly aio?: string | undefined;
  /** Do not open the backing file the header names. */
  readonly noBacking?: boolean;
  /** Only the header is of interest. */
  readonly noIo?: boolean;
  /** The image as this snapshot of it has it, by id, name or `snapshot.id=…,snapshot.name=…`. */
  readonly snapshot?: string | undefined;
  /** Record requests in this file. */
  readonly traceFile?: string | undefined;
  /** For messages; default `'NAME'`. */
  readonly user?: string;
  /** What else to say of the image and its chain. */
  readonly adjust?: (spec: NodeSpec) => NodeSpec;
  /** Further modes for what the name does not say itself. */
  readonly modes?: OpenSettings['modes'];
}

/** What a name on the command line stands for. */
export function imageSpec({ name, format, imageOpts }: ImageRequest): NodeSpec {
  if (!imageOpts) return specFromFileName(driverList, name, format);
  if (format !== undefined) throw new Usage('a format cannot be given for an image described by options');
  return specFromOptions(name);
}

/** Open an image named on the command line; the error says which. */
export async function openImage(
  graph: BlockGraph,
  request: ImageRequest,
  options: OpenImageOptions = {},
): Promise<Backend> {
  const { operation = operations.read.image, cache, aio } = options;
  const modes = {
    ...options.modes,
    readOnly: !options.writable,
    forceShare: options.forceShare ?? false,
    noIo: options.noIo ?? false,
    direct: cache?.direct ?? false,
    noFlush: cache?.noFlush ?? false,
  };
  try {
    const plain = (options.adjust ?? ((spec: NodeSpec) => spec))(imageSpec(request));
    const disk = aio === undefined ? plain : withAio(plain, aio);
    const spec = options.snapshot === undefined ? disk : snapshotSpec(disk, options.snapshot);
    // Who only looks at the header sends no requests, and wants to see the image itself.
    return await Backend.open(graph, traced(spec, options.noIo ? undefined : options.traceFile), {
      user: options.user ?? `'${request.name}'`,
      permissions: operation,
      writethrough: cache?.writethrough ?? false,
      open: { modes, noBacking: options.noBacking ?? false },
    });
  } catch (error) {
    throw namingImage(request.name, error);
  }
}

/** Say which image an error is about, unless it says so itself. */
export function namingImage(name: string, error: unknown, action = 'open'): BlockError {
  return naming(name, `Could not ${action} '${name}'`, error);
}

/** The images of one run of a command, in one graph. */
export class OpenImages {
  readonly graph: BlockGraph;
  /** Requests to all of them are recorded there. */
  readonly traceFile: string | undefined;
  readonly #closer = new Closer();

  constructor(graph: BlockGraph, traceFile?: string) {
    this.graph = graph;
    this.traceFile = traceFile;
  }

  /** See {@link openImage}; closed at the end with all others, unless it is closed before. */
  async open(request: ImageRequest, options?: OpenImageOptions): Promise<Backend> {
    const backend = await openImage(this.graph, request, { traceFile: this.traceFile, ...options });
    this.#closer.push(() => backend.close());
    return backend;
  }

  async close(): Promise<void> {
    await this.#closer.close();
    await this.graph.close();
  }
}

/** Run `action` and close what it opened. What goes wrong in closing counts, unless the action failed already. */
export async function withImages<T>(
  io: Io,
  surroundings: Surroundings,
  action: (images: OpenImages) => Promise<T>,
): Promise<T> {
  const images = new OpenImages(newGraph(io, surroundings), io.traceFile);
  let result: T;
  try {
    await withStatus(surroundings.openStatus ?? FAILED, () =>
      addObjects(images.graph, surroundings.objects, io.signal),
    );
    result = await action(images);
  } catch (error) {
    await images.close().catch(() => undefined);
    throw error;
  }
  await images.close();
  return result;
}
