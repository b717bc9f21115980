/**
 * Rebase: an image gets another backing file and shows the same disk. Where it has no data of its own and the two
 * backing files differ, what the old one shows is written to it. Its header names the new one last, when all of that
 * is stable, so that it is right at every moment.
 */
import type { Backend } from '../../block/backend/backend.ts';
import { infoOf } from '../../block/graph/image-info.ts';
import type { Node } from '../../block/graph/node.ts';
import { BlockError, withContext } from '../../errors/block-error.ts';
import { copy } from '../copy-engine/copy.ts';
import type { Job, JobBody, JobInit } from '../job.ts';
import { copyControl } from '../job-copy.ts';
import type { JobList } from '../job-list.ts';
import { beginPasses } from '../page-cache.ts';
import { Adoption, PIECE } from './adoption.ts';

export interface RebaseRequest {
  /** The image with its old chain; the job closes it. */
  readonly image: Backend;
  /** The new backing file; undefined: none. The job closes it. */
  readonly next: Backend | undefined;
  /** A layer of the old chain that is the new backing file: what is only there needs no looking at. */
  readonly common: Node | undefined;
  /** As the header is to have them; no name: none. */
  readonly name: string | undefined;
  readonly format: string | undefined;
  /** Store what is written compressed. */
  readonly compressed: boolean;
}

class RebaseBody implements JobBody {
  readonly #request: RebaseRequest;

  constructor(request: RebaseRequest) {
    this.#request = request;
  }

  async run(job: Job): Promise<void> {
    const { image, next, common, compressed } = this.#request;
    const info = await infoOf(image.image);
    const { clusterSize = 1, subclusterSize = clusterSize } = info ?? {};
    const unit = compressed ? clusterSize : subclusterSize;
    const adoption = new Adoption({ image, next, unit, compressed });
    job.setTotal(image.size);
    const passes = await beginPasses(next ? [image.image, next.image] : [image.image]);
    try {
      await copy({
        sources: [{ backend: image, targetOffset: 0, below: image.image.layer, ...(common ? { base: common } : {}) }],
        target: { backend: image, readsZero: false, clusterSize, unit },
        control: copyControl(job),
        sparse: unit,
        unordered: true,
        parallel: PARALLEL,
        transfer: Math.max(PIECE, unit),
        move: (segment) => adoption.adopt(segment),
      });
    } finally {
      await passes.end();
    }
    await image.flush();
  }

  /** Nothing is lost whenever this breaks off: the header is written as a whole, and both chains are right. */
  async prepare(): Promise<void> {
    const { image, name, format } = this.#request;
    await image.flush();
    await image.image.layer.image.backing?.change?.(name, format);
  }
}

/** Pieces under way: each takes two buffers, and two requests where both sides are to be read. */
const PARALLEL = 3;

/** Make the job; it owns the backends from now on, also if it is never started. */
export function rebaseJob(jobs: JobList, request: RebaseRequest, init: Partial<JobInit> = {}): Job {
  const { image, next, compressed, name } = request;
  const layer = image.image.layer;
  if (!layer.image.backing?.change) {
    throw new BlockError(`driver '${layer.driver.name}' has no backing files`, { code: 'ENOTSUP' });
  }
  layer.image.backing.assertFits?.(name);
  if (compressed && !image.image.io.canCompress) {
    throw new BlockError(`format '${layer.driver.name}' cannot store compressed data`, { code: 'ENOTSUP' });
  }
  if (next === undefined && name !== undefined) throw withContext(name, new Error('a name without its image'));
  const job = jobs.add({ ...init, type: 'rebase', body: new RebaseBody(request) });
  job.own(image);
  if (next) job.own(next);
  return job;
}
