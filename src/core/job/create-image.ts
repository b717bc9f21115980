/**
 * Making a new image: its file first, by the protocol's driver, then the format on it.
 *
 * Options are given flat, under their command-line names; those the format does not know go to the protocol. When
 * making fails, a file that was not there before is removed again; one that was there has lost its content already, as
 * it was going to.
 */
import fs from 'node:fs';
import { Closer } from '../async/closer.ts';
import { Backend } from '../block/backend/backend.ts';
import type { CreateCapability, CreateContext, Driver } from '../block/driver.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import type { Edge } from '../block/graph/edge.ts';
import { localPath, resolveName, schemeOf } from '../block/graph/file-name.ts';
import { operations } from '../block/graph/operations.ts';
import { entryOf, type NodeSpec, protocolSpec, specFromFileName } from '../block/graph/spec.ts';
import { NotSupported, Usage } from '../errors/block-error.ts';
import { fieldsOf, joinOptions } from '../options/index.ts';
import { validate } from '../options/parse.ts';
import type { OptionSchema, Options } from '../options/schema.ts';
import { assertBackingFormat } from './backing-file.ts';
import type { Job, JobBody } from './job.ts';
import { recordBase } from './record-base.ts';

export interface CreateRequest {
  /** A format, or a protocol by itself. */
  readonly driver: string;
  readonly fileName: string;
  /** Creation options under their command-line names; values as typed or as native types. */
  readonly options: Options;
  /** Do not wait until it is on the medium: whoever asked for it is going to write much more. */
  readonly noFlush?: boolean;
  readonly signal?: AbortSignal;
  readonly progress?: (done: number, total: number) => void;
}

/** What can be given when an image of `driver` is made at `fileName`. */
export interface CreationOptions {
  /** Of the format and, where it shows them, of the protocol below. */
  readonly schema: OptionSchema;
  readonly format: CreationPart;
  /** Undefined when the driver is a protocol itself. */
  readonly protocol?: CreationPart;
}

interface CreationPart {
  readonly driver: Driver;
  readonly create: CreateCapability;
}

/** Find the drivers; throws when either cannot create. Without a file name, a plain file is assumed. */
export async function creationOptions(graph: BlockGraph, driver: string, fileName = ''): Promise<CreationOptions> {
  const format = await creatable(graph, driver);
  if (format.driver.kind === 'protocol') return { schema: format.create.options, format };
  const { driver: name = 'file' } = fileName === '' ? {} : newFileSpec(graph, fileName);
  const protocol = await creatable(graph, name);
  return { schema: joinOptions(format.create.options, protocol.create.options), format, protocol };
}

async function creatable(graph: BlockGraph, name: string): Promise<CreationPart> {
  const driver = await entryOf(graph.settings.drivers, name).load();
  if (!driver.create) throw new NotSupported(`driver '${name}' cannot create images`);
  return { driver, create: driver.create };
}

/** Make the image, closed again when this ends. Returns the options with defaults applied. */
export async function createImage(graph: BlockGraph, request: CreateRequest): Promise<Options> {
  const found = await creationOptions(graph, request.driver, request.fileName);
  const all = validate(found.schema, request.options, `the ${request.driver} format`);
  const { format, protocol } = found;
  assertBackingFormat(graph, all.backing_fmt);
  const own = pick(request.options, format.create.options, false);
  const options = validate(format.create.options, own, `the ${request.driver} format`);
  const noFlush = request.noFlush ?? false;
  await using closer = new Closer();
  /** Files that were not there before. */
  const made: string[] = [];
  const context = (file?: Edge): CreateContext => ({
    options,
    fileName: request.fileName,
    ...(file ? { file } : {}),
    // Relative like a backing file: to the image, not to where the user happens to stand.
    createFile: (name, wanted) => {
      const resolved = resolveName(request.fileName, name);
      if (!exists(resolved)) made.push(resolved);
      return makeFile(graph, { name: resolved, options: wanted, noFlush }, closer);
    },
    closer,
    ...(request.signal ? { signal: request.signal } : {}),
    ...(request.progress ? { progress: request.progress } : {}),
    object: (kind, id) => graph.objects.find(kind, id),
    warn: (message) => graph.settings.warn(message),
  });
  if (!protocol) {
    await format.create.run(context());
    return all;
  }
  const rest = pick(request.options, format.create.options, true);
  if (!exists(request.fileName)) made.push(request.fileName);
  try {
    const file = await makeFile(graph, { name: request.fileName, options: rest, noFlush }, closer);
    await format.create.run(context(file));
    await closer.close();
  } catch (error) {
    await closer.close().catch(() => undefined);
    made.forEach(remove);
    throw error;
  }
  if (typeof options.backing_file === 'string') {
    await recordBase(graph, specFromFileName(graph.settings.drivers, request.fileName, request.driver), noFlush);
  }
  return all;
}

/** The job that makes an image. */
export class CreateBody implements JobBody {
  readonly #graph: BlockGraph;
  readonly #request: CreateRequest;

  constructor(graph: BlockGraph, request: CreateRequest) {
    this.#graph = graph;
    this.#request = request;
  }

  async run(job: Job): Promise<void> {
    await createImage(this.#graph, {
      ...this.#request,
      signal: job.signal,
      progress: (done, total) => job.reach(done, total),
    });
  }
}

/** @throws Usage for options in the place of a name: what they say to open is there already. */
function newFileSpec(graph: BlockGraph, name: string): NodeSpec {
  if (schemeOf(name) === 'json') {
    throw new Usage(`'${name}' cannot be made: options of an image are no name for a new one`, {
      hint: 'Give the name of a file',
    });
  }
  return protocolSpec(graph.settings.drivers, name);
}

/** Make a file by its protocol and open it for the format to write to. */
async function makeFile(
  graph: BlockGraph,
  file: { readonly name: string; readonly options: Options; readonly noFlush: boolean },
  closer: Closer,
): Promise<Edge> {
  const spec = newFileSpec(graph, file.name);
  const { driver, create } = await creatable(graph, spec.driver ?? 'file');
  const options = validate(create.options, file.options, `driver '${driver.name}'`);
  const none = new Closer();
  try {
    await create.run({
      options,
      fileName: localPath(file.name) ?? file.name,
      createFile: () => Promise.reject(new Error('a protocol creates one file')),
      closer: none,
      object: (kind, id) => graph.objects.find(kind, id),
      warn: (message) => graph.settings.warn(message),
    });
  } finally {
    await none.close();
  }
  const backend = await Backend.open(graph, spec, {
    user: `the making of '${file.name}'`,
    permissions: operations.create.target,
    open: { modes: { noFlush: file.noFlush } },
  });
  closer.push(() => backend.close());
  return backend.root;
}

/** Those of `options` that `schema` names, or does not name with `others`. */
function pick(options: Options, schema: OptionSchema, others: boolean): Options {
  const names = new Set(Object.keys(fieldsOf(schema)));
  const top = (key: string): string => key.split('.')[0] ?? key;
  return Object.fromEntries(
    Object.entries(options).filter(([key]) => (names.has(key) || names.has(top(key))) !== others),
  );
}

function exists(name: string): boolean {
  const path = localPath(name);
  return path === undefined || fs.existsSync(path);
}

function remove(name: string): void {
  const path = localPath(name);
  if (path !== undefined) fs.rmSync(path, { force: true });
}
