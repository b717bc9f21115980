import type { Node } from '../block/graph/node.ts';
import { BlockError } from '../errors/block-error.ts';
import { IDENTIFIER_HINT, isIdentifier } from '../options/identifier.ts';
import { Job, type JobInit } from './job.ts';
import { Listeners } from './listeners.ts';

/**
 * The jobs of one program by id, from their making until they are dismissed. How many may work on a node is
 * for the permissions to say.
 */
export class JobList {
  readonly #jobs = new Map<string, Job>();
  #counter = 0;
  /** Told of every job when it is made. */
  readonly events = new Listeners<{ added: Job }>();

  /** Make a job; without an id it gets one. Throws when the id is taken. */
  add(init: Omit<JobInit, 'id'> & { readonly id?: string }): Job {
    const id = this.idFor(init.type, init.id);
    const job = new Job({ ...init, id });
    this.#jobs.set(id, job);
    job.events.on('state', ({ to }) => {
      if (to === 'null') this.#jobs.delete(id);
    });
    this.events.emit('added', job);
    return job;
  }

  /** The id that a job to be made will have; throws when the wanted one is taken. */
  idFor(type: string, wanted: string | undefined): string {
    const id = wanted ?? this.#freeId(type);
    if (wanted !== undefined && !isIdentifier(wanted)) {
      throw new BlockError(`'${wanted.slice(0, 80)}' is no valid id of a job`, { hint: IDENTIFIER_HINT });
    }
    if (this.#jobs.has(id)) throw new BlockError(`there is already a job '${id}'`, { code: 'EEXIST' });
    return id;
  }

  find(id: string): Job {
    const job = this.#jobs.get(id);
    if (!job) throw new BlockError(`there is no job '${id}'`, { code: 'ENOENT' });
    return job;
  }

  all(): Job[] {
    return [...this.#jobs.values()];
  }

  /** The jobs that hold `node`. */
  onNode(node: Node): Job[] {
    return this.all().filter((job) => job.nodes().includes(node));
  }

  #freeId(type: string): string {
    let id: string;
    do id = `${type}${this.#counter++}`;
    while (this.#jobs.has(id));
    return id;
  }
}
