/**
 * Streaming: what the layers below have of a disk is copied up into a layer, which then needs them no more. It is used
 * all the time, through a copy-on-read filter that the job has the ranges fetched by.
 */
import { Closer } from '../async/closer.ts';
import type { Backend } from '../block/backend/backend.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import { assertPassedOn, linkDown, linksBetween } from '../block/graph/freeze.ts';
import type { Node } from '../block/graph/node.ts';
import { operations } from '../block/graph/operations.ts';
import type { Holder } from '../block/graph/refusal.ts';
import { changeBacking, openFilter, present, reshape } from '../block/graph/reshape.ts';
import { BlockError, Usage } from '../errors/block-error.ts';
import { assertRenamable, nameBacking } from './backing-link.ts';
import { copy } from './copy-engine/copy.ts';
import type { ErrorPolicy } from './error-policy.ts';
import { Holdings } from './holdings.ts';
import type { InitWithId, Job, JobBody, JobInit } from './job.ts';
import { copyControl } from './job-copy.ts';
import type { JobList } from './job-list.ts';
import { makeJob } from './make-job.ts';

export interface StreamRequest {
  /** The layer that is filled. */
  readonly top: Node;
  /** What lies here or below is not copied and stays the backing file. One of the two, or neither: all is copied. */
  readonly base?: Node | undefined;
  /** The lowest layer that is copied from. */
  readonly bottom?: Node | undefined;
  /** What `top` is to say of its backing file; default the name of it. */
  readonly backingFile?: string | undefined;
  /** Of a layer without a format say that it is raw, rather than which protocol it is read by. */
  readonly maskProtocol?: boolean | undefined;
  readonly onError?: ErrorPolicy | undefined;
  readonly filterName?: string | undefined;
}

/** The job, to be started. Throws with the graph as it was. */
export async function stream(
  jobs: JobList,
  graph: BlockGraph,
  request: StreamRequest,
  init: Partial<JobInit> = {},
): Promise<Job> {
  const top = request.top.layer;
  const { base, bottom } = boundsOf(top, request);
  assertRenamable(top);
  return makeJob(jobs, { type: 'stream', node: top, init }, (holder, named) =>
    setUp(jobs, { graph, request, top, base, bottom, holder }, named),
  );
}

interface Plan {
  readonly graph: BlockGraph;
  readonly request: StreamRequest;
  readonly top: Node;
  readonly base: Node | undefined;
  readonly bottom: Node | undefined;
  readonly holder: Holder;
}

async function setUp(jobs: JobList, plan: Plan, init: InitWithId): Promise<Job> {
  const { graph, request, top, base, bottom, holder } = plan;
  const undo = new Closer();
  const held = new Holdings(graph, holder);
  const { filterName } = request;
  undo.push(() => held.close());
  try {
    await held.makeWritable(top);
    const { main, active, intermediate } = operations.stream;
    const spec = {
      driver: 'copy-on-read',
      ...(filterName === undefined ? {} : { 'node-name': filterName }),
      ...(bottom ? { bottom: bottom.name } : {}),
    };
    const filter = await openFilter(graph, top, spec);
    const source = await held.putIn(filter, (below) => {
      assertPassedOn(below, top);
      if (bottom) held.freeze(filter, bottom);
      return held.attach(filter, { role: 'filter', permissions: main });
    });
    const body = new StreamBody({ graph, request, top, base, bottom, filter, source, held });
    const job = jobs.add({ ...init, type: 'stream', body });
    undo.push(async () => {
      job.cancel();
      await job.finished.catch(() => undefined);
    });
    held.giveTo(job);
    held.hold(job, filter, 'main node', { perm: 0, shared: main.shared });
    held.hold(job, top, 'active node', active);
    for (const { node } of bottom ? linksBetween(top, bottom) : []) {
      held.hold(job, node, 'intermediate node', intermediate);
    }
    return job;
  } catch (error) {
    await undo.close().catch(() => undefined);
    throw error;
  }
}

/** The layer that stays, and the lowest one that is copied from; undefined where there is none. */
function boundsOf(top: Node, request: StreamRequest): { base: Node | undefined; bottom: Node | undefined } {
  if (request.base && request.bottom) throw new Usage("'base' and 'bottom' cannot be given together");
  if (request.bottom) {
    if (request.bottom.layer !== request.bottom) {
      throw new Usage(`node '${request.bottom.name}' is a filter, it cannot be the bottom of a stream`);
    }
    linksBetween(top, request.bottom);
    if (request.bottom === top) throw new Usage(`node '${top.name}' cannot be the bottom of a stream into itself`);
    return { base: request.bottom.backing?.node, bottom: request.bottom };
  }
  if (request.base === top) throw new BlockError(`node '${top.name}' cannot be streamed from itself`);
  const links = request.base ? linksBetween(top, request.base) : allLinks(top);
  const layers = links.map((link) => link.node).filter((node) => node !== request.base);
  return { base: request.base, bottom: layers.filter((node) => !node.passedOn).at(-1) };
}

function allLinks(top: Node): ReturnType<typeof linksBetween> {
  const links = [];
  for (let edge = linkDown(top); edge; edge = linkDown(edge.node)) links.push(edge);
  return links;
}

interface Scene {
  readonly graph: BlockGraph;
  readonly request: StreamRequest;
  readonly top: Node;
  readonly base: Node | undefined;
  readonly bottom: Node | undefined;
  readonly filter: Node;
  readonly source: Backend;
  readonly held: Holdings;
}

class StreamBody implements JobBody {
  readonly #scene: Scene;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  async run(job: Job): Promise<void> {
    const { source, base, request, filter, top } = this.#scene;
    const { onError = 'report' } = request;
    job.setTotal(source.size);
    if (!top.backing) return;
    const fetch = async ({ offset, length }: { offset: number; length: number }): Promise<void> => {
      for (;;) {
        try {
          return await filter.io.during(filter.image.prefetch?.(offset, length));
        } catch (error) {
          if ((await job.onError('read', onError, error)) === 'ignore') {
            this.#ignored ??= error;
            return;
          }
        }
      }
    };
    await copy({
      sources: [{ backend: source, targetOffset: 0, below: top, ...(base ? { base } : {}) }],
      target: { backend: source, readsZero: false },
      control: copyControl(job, { onSourceError: onError, onTargetError: onError }),
      sparse: 512,
      unordered: true,
      move: fetch,
    });
    await top.entry.flush();
    // The layers below are still needed.
    if (this.#ignored !== undefined) throw this.#ignored;
  }

  /** What could not be copied. */
  #ignored: unknown;

  async prepare(): Promise<void> {
    const { graph, request, top, filter, held, source } = this.#scene;
    await source.flush();
    for (let done = !top.backing; !done; ) {
      const base = this.#base();
      await nameBacking(top, base, { text: request.backingFile, maskProtocol: request.maskProtocol });
      // Another change may have put something else below what was copied.
      const touched = () => present([filter, top.backing?.node, this.#base()]);
      done = await reshape(graph, touched, (transaction) => {
        if (this.#base() !== base) return false;
        held.release();
        if (top.backing?.node === base) return true;
        changeBacking(transaction, top, base);
        transaction.add({
          commit() {
            top.backingOverridden = false;
          },
        });
        return true;
      });
    }
    await held.takeOut();
  }

  /** What stays below `top`: the layer that was asked for, unless another has taken its place meanwhile. */
  #base(): Node | undefined {
    const { top, base, bottom = top } = this.#scene;
    const next = bottom.backing?.node;
    for (let node = next; node; node = node.passedOn?.node) if (node === base) return base;
    return next;
  }

  async abort(): Promise<void> {
    await this.#scene.held.takeOut();
  }
}
