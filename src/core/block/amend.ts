import type { Options } from '../options/schema.ts';
import type { ObjectKind, ObjectKinds } from './objects/object-type.ts';

/**
 * Changing what an existing image was made with: `amend` of the command line and `x-blockdev-amend`. Its options stand
 * on the driver (`amendOptions`), so that help on them needs no image; the image does the work.
 */
export interface AmendCapability {
  /**
   * @param options as validated by the driver's schema; `explicitNames` tells which were given.
   * @throws BlockError, with the image as before or, at worst, with space that is wasted.
   */
  run(options: Options, context: AmendContext): Promise<void>;
}

export interface AmendContext {
  /** Do also what may make data unreachable (erase the last key). */
  readonly force: boolean;
  readonly signal?: AbortSignal;
  /** Run `action` while no request of anybody is in flight, and new ones wait. */
  exclusively<T>(action: () => Promise<T>): Promise<T>;
  /** Units are the driver's own; `total` may grow. */
  progress?(done: number, total: number): void;
  warn(message: string): void;
  /** What a user has defined under this id. @throws BlockError with code ENOENT for an unknown one. */
  object<K extends ObjectKind>(kind: K, id: string): ObjectKinds[K];
}
