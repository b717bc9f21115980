/** Changing options of an existing image: the job `amend`. */
import type { Backend } from '../block/backend/backend.ts';
import type { Driver } from '../block/driver.ts';
import { whileDrained } from '../block/graph/drain.ts';
import type { ObjectStore } from '../block/objects/object-store.ts';
import { NotSupported, Usage } from '../errors/block-error.ts';
import { fieldsOf } from '../options/fields.ts';
import { validate } from '../options/parse.ts';
import type { OptionSchema, Options } from '../options/schema.ts';
import type { Job, JobBody, JobInit } from './job.ts';
import type { JobList } from './job-list.ts';

export interface AmendRequest {
  /** The image, with the permissions of the operation `amend`. */
  readonly backend: Backend;
  /** Under their command-line names; values as typed or as native types. */
  readonly options: Options;
  /** Do also what may make data unreachable. */
  readonly force?: boolean;
  /** Where the options' references to secrets are looked up. */
  readonly objects: ObjectStore;
  warn(message: string): void;
}

/** What can be amended in images of this driver. @throws NotSupported for nothing at all. */
export function amendOptions(driver: Driver): OptionSchema {
  if (driver.amendOptions) return driver.amendOptions;
  throw new NotSupported(`Format driver '${driver.name}' does not support option amendment`);
}

export class AmendBody implements JobBody {
  readonly #request: AmendRequest;

  constructor(request: AmendRequest) {
    this.#request = request;
  }

  async run(job: Job): Promise<void> {
    const { backend, force = false, objects, warn } = this.#request;
    const { driver, image } = backend.image;
    const schema = amendOptions(driver);
    const options = checkOptions(driver, schema, this.#request.options);
    if (!image.amend) throw new NotSupported(`'${backend.image.fileName}' cannot be amended as it is open now`);
    await image.amend.run(options, {
      force,
      signal: job.signal,
      exclusively: (action) => whileDrained(() => [backend.image], action, { alone: true }),
      progress: (done, total) => job.reach(done, total),
      warn,
      object: (kind, id) => objects.find(kind, id),
    });
    await backend.flush();
  }
}

/** Make the job; it owns the backend from now on, also if it is never started. */
export function amendJob(jobs: JobList, request: AmendRequest, init: Partial<JobInit> = {}): Job {
  const job = jobs.add({ type: 'amend', ...init, body: new AmendBody(request) });
  job.own(request.backend);
  return job;
}

/** What is only for making an image is told apart from what does not exist. */
function checkOptions(driver: Driver, schema: OptionSchema, options: Options): Options {
  const known = fieldsOf(schema);
  const forCreation = driver.create ? fieldsOf(driver.create.options) : {};
  const wrong = Object.keys(options).find((name) => !Object.hasOwn(known, name) && Object.hasOwn(forCreation, name));
  if (wrong === undefined) return validate(schema, options, `amending a ${driver.name} image`);
  throw new Usage(`option '${wrong}' of format '${driver.name}' cannot be amended`, {
    hint: 'It is only supported for image creation',
  });
}
