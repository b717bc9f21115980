/** Who agrees with whom. */
import { asBlockError, type BlockError } from '../../core/errors/block-error.ts';

/** How one child ended a request. */
export type Ending<T> =
  | { readonly value: T; readonly error?: undefined }
  | { readonly value?: undefined; readonly error: BlockError };

export async function ending<T>(run: () => T | Promise<T>): Promise<Ending<T>> {
  try {
    return { value: await run() };
  } catch (error) {
    return { error: asBlockError(error) };
  }
}

/**
 * Groups of equal items, the largest first; among groups of one size the one that began last, as QEMU has it: what is
 * seen of images that differ should not depend on who looks.
 */
export function groupEqual<T>(items: readonly T[], equal: (a: T, b: T) => boolean): T[][] {
  const groups: T[][] = [];
  for (const item of items) {
    const group = groups.find(([first]) => first !== undefined && equal(first, item));
    if (group) group.push(item);
    else groups.push([item]);
  }
  return groups.reverse().sort((a, b) => b.length - a.length);
}

/** The error that most children gave. */
export function commonError(endings: readonly Ending<unknown>[]): BlockError | undefined {
  const errors = endings.flatMap(({ error }) => (error ? [error] : []));
  return groupEqual(errors, (a, b) => a.code === b.code)[0]?.[0];
}
