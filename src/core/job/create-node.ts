/** Making an image in a node that is there, or a file by its protocol: `blockdev-create`. */
import { Closer } from '../async/closer.ts';
import { Backend } from '../block/backend/backend.ts';
import type { CreateCapability, Driver } from '../block/driver.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import type { Edge } from '../block/graph/edge.ts';
import { operations } from '../block/graph/operations.ts';
import type { NodeSpec } from '../block/graph/spec.ts';
import { BlockError } from '../errors/block-error.ts';
import { fieldsOf } from '../options/fields.ts';
import { validate } from '../options/parse.ts';
import type { Options } from '../options/schema.ts';
import { assertBackingFormat } from './backing-file.ts';
import type { Job, JobBody } from './job.ts';

export interface NodeCreateRequest {
  readonly driver: Driver;
  readonly create: CreateCapability;
  /** Creation options under their command-line names. */
  readonly options: Options;
  /** Of a protocol: what to make. */
  readonly fileName: string | undefined;
  /** Of a format: the node to make it in, by name or by its options; likewise for its data. */
  readonly file: string | NodeSpec | undefined;
  readonly dataFile: string | NodeSpec | undefined;
}

export class NodeCreateBody implements JobBody {
  readonly #graph: BlockGraph;
  readonly #request: NodeCreateRequest;

  constructor(graph: BlockGraph, request: NodeCreateRequest) {
    this.#graph = graph;
    this.#request = request;
  }

  async run(job: Job): Promise<void> {
    const { driver, create, fileName } = this.#request;
    const what = `the ${driver.name} driver`;
    await using closer = new Closer();
    const file = await this.#open(this.#request.file, closer);
    const dataFile = await this.#open(this.#request.dataFile, closer);
    const named = dataFile ? { data_file: dataFile.node.fileName } : {};
    const options = validate(create.options, { ...this.#request.options, ...named }, what);
    assertBackingFormat(this.#graph, options.backing_fmt);
    // What the node held before must not show through where the new image writes nothing.
    if (file && !('extent_size_hint' in fieldsOf(create.options))) await file.truncate(0, { exact: false });
    job.setTotal(1);
    await create.run({
      options,
      fileName: fileName ?? file?.node.fileName ?? '',
      ...(file ? { file } : {}),
      createFile: async (name) => {
        if (dataFile) return dataFile;
        throw new BlockError(`the data file '${name}' must be given as a node, with 'data-file'`);
      },
      closer,
      object: (kind, id) => this.#graph.objects.find(kind, id),
      signal: job.signal,
      progress: (done, total) => job.reach(done, total),
      warn: (message) => this.#graph.settings.warn(message),
    });
    await file?.flush();
    await closer.close();
    job.advance(job.progress.total - job.progress.done);
  }

  async #open(where: string | NodeSpec | undefined, closer: Closer): Promise<Edge | undefined> {
    if (where === undefined) return undefined;
    const settings = { user: `the making of an image`, permissions: operations.create.target };
    const backend =
      typeof where === 'string'
        ? Backend.attach(this.#graph, this.#graph.find(where), settings)
        : await Backend.open(this.#graph, where, settings);
    closer.push(() => backend.close());
    return backend.root;
  }
}
