/**
 * Committing layers that are in use as backing files: what lies above `base`, down from `top`, is brought into `base`,
 * whose overlays then stand right on it. The layer above goes on being used all the time, through a filter that shows
 * it what the chain shows, whatever is said of the layers below meanwhile.
 */
import { Closer } from '../async/closer.ts';
import type { Backend } from '../block/backend/backend.ts';
import { FilterImage } from '../block/filter.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import { moveUsers, refreshNodes } from '../block/graph/changes.ts';
import { assertPassedOn, linksBetween } from '../block/graph/freeze.ts';
import type { Node } from '../block/graph/node.ts';
import { operations } from '../block/graph/operations.ts';
import { makeFilter } from '../block/graph/own-filter.ts';
import { asking, type Holder } from '../block/graph/refusal.ts';
import { leave, reshape } from '../block/graph/reshape.ts';
import type { Transaction } from '../block/graph/transaction.ts';
import { Perm, type PermPair } from '../block/permissions-bits.ts';
import { Usage } from '../errors/block-error.ts';
import { assertRenamable, nameBacking, overlaysOf } from './backing-link.ts';
import { copy } from './copy-engine/copy.ts';
import type { DiskPart } from './copy-engine/types.ts';
import type { ErrorPolicy } from './error-policy.ts';
import { Holdings } from './holdings.ts';
import type { InitWithId, Job, JobBody, JobInit } from './job.ts';
import { copyControl, copyTarget, rest } from './job-copy.ts';
import type { JobList } from './job-list.ts';
import { makeJob } from './make-job.ts';

export interface CommitRequest {
  /** The uppermost layer that is committed; something must have it as its backing file. */
  readonly top: Node;
  /** A layer below it. */
  readonly base: Node;
  /** What the overlays of `top` are to say of their backing file; default the name of `base`. */
  readonly backingFile?: string | undefined;
  /** Of a layer without a format say that it is raw, rather than which protocol it is read by. */
  readonly maskProtocol?: boolean | undefined;
  readonly onError?: ErrorPolicy | undefined;
  readonly filterName?: string | undefined;
}

class CommitFilter extends FilterImage {
  /** Its users see consistent content although the layers below, each by itself, have none. */
  childPermissions(_child: string, _users: PermPair, _usual: PermPair): PermPair {
    return { perm: 0, shared: Perm.ALL };
  }
}

/** The job, to be started. Throws with the graph as it was. */
export async function commitLayers(
  jobs: JobList,
  graph: BlockGraph,
  request: CommitRequest,
  init: Partial<JobInit> = {},
): Promise<Job> {
  const { top, base } = request;
  if (top === base) throw new Usage(`node '${top.name}' cannot be committed into itself`);
  linksBetween(top, base);
  const overlays = overlaysOf(top);
  if (overlays.length === 0) throw new Usage(`node '${top.name}' is no backing file`);
  for (const overlay of overlays) assertRenamable(overlay);
  return makeJob(jobs, { type: 'commit', node: top, init }, (holder, named) =>
    setUp(jobs, { graph, request, overlays, holder }, named),
  );
}

interface Plan {
  readonly graph: BlockGraph;
  readonly request: CommitRequest;
  readonly overlays: readonly Node[];
  readonly holder: Holder;
}

async function setUp(jobs: JobList, { graph, request, overlays, holder }: Plan, init: InitWithId): Promise<Job> {
  const { top, base } = request;
  const undo = new Closer();
  const held = new Holdings(graph, holder);
  undo.push(() => held.close());
  try {
    for (const node of [base, ...overlays]) await held.makeWritable(node);
    const filter = await makeFilter(graph, {
      driver: 'commit_top',
      name: request.filterName,
      below: top,
      owner: holder,
      make: (file) => new CommitFilter(file),
    });
    const ends = await held.putIn(filter, (below) => {
      assertPassedOn(below, top);
      held.freeze(filter, base);
      const { target, source } = operations.commit;
      const grows = base.io.size < top.io.size;
      const to = { ...target, perm: grows ? target.perm | Perm.RESIZE : target.perm };
      return {
        target: held.attach(base, { role: 'base', permissions: to }),
        source: held.attach(top, { role: 'source', permissions: source }),
      };
    });
    const body = new CommitBody({ graph, request, filter, ...ends, held });
    const job = jobs.add({ ...init, type: 'commit', body });
    undo.push(async () => {
      job.cancel();
      await job.finished.catch(() => undefined);
    });
    held.giveTo(job);
    held.hold(job, filter, 'main node', operations.commit.main);
    for (const { node } of linksBetween(top, base)) {
      if (node !== base) held.hold(job, node, 'intermediate node', operations.commit.intermediate);
    }
    return job;
  } catch (error) {
    await undo.close().catch(() => undefined);
    throw error;
  }
}

interface Scene {
  readonly graph: BlockGraph;
  readonly request: CommitRequest;
  readonly filter: Node;
  readonly source: Backend;
  readonly target: Backend;
  readonly held: Holdings;
}

class CommitBody implements JobBody {
  readonly #scene: Scene;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  async run(job: Job): Promise<void> {
    const { source, target, request } = this.#scene;
    const { base, onError } = request;
    job.setTotal(source.size);
    if (target.size < source.size) await target.truncate(source.size);
    const control = copyControl(job, { onSourceError: onError, onTargetError: onError });
    for (let parts: DiskPart[] = [{ offset: 0, length: source.size }]; parts.length > 0; ) {
      const left: DiskPart[] = [];
      await copy({
        sources: parts.map((part) => ({ backend: source, targetOffset: 0, part, base })),
        target: await copyTarget(target, false),
        control: {
          ...control,
          async onError(operation, error, segment) {
            const next = await control.onError(operation, error, segment);
            if (next === 'ignore') left.push({ offset: segment.offset, length: segment.length });
            return next;
          },
        },
        offload: true,
      });
      // What was ignored is tried again: without it the layers above must not be given up.
      if (left.length > 0) await rest(job);
      job.setTotal(left.reduce((sum, { length }) => sum + length, job.progress.total));
      parts = left.sort((a, b) => a.offset - b.offset);
    }
    await target.flush();
  }

  /** Where `top` is shorter than `base`, an overlay sees zeroes behind its end, and must go on seeing them. */
  async #hideTail(): Promise<void> {
    const { source, target, filter } = this.#scene;
    const seen = Math.max(0, ...overlaysOf(filter).map((overlay) => overlay.io.size));
    const end = Math.min(target.size, seen);
    if (end > source.size) await target.zero(source.size, end - source.size);
  }

  /** The headers first, which are right either way from now on; then the graph. */
  async prepare(): Promise<void> {
    const { graph, request, filter, target, held } = this.#scene;
    const { base, backingFile, maskProtocol } = request;
    const named = new Set<Node>();
    const isNew = (overlay: Node): boolean => !named.has(overlay);
    const change = (transaction: Transaction): boolean => {
      if (overlaysOf(filter).some(isNew)) return false;
      held.release();
      leave(transaction, filter);
      moveUsers(transaction, { from: filter, to: base });
      refreshNodes(transaction, [filter, base]);
      return true;
    };
    // Another may have come while the graph was not quiet yet.
    for (let done = false; !done; ) {
      await this.#hideTail();
      await target.flush();
      for (const overlay of overlaysOf(filter).filter(isNew)) {
        await nameBacking(overlay, base, { text: backingFile, maskProtocol });
        named.add(overlay);
      }
      done = await asking(`the end of ${held.holder}`, () => reshape(graph, () => [filter, base], change));
    }
  }

  async abort(): Promise<void> {
    await this.#scene.held.takeOut();
  }
}
