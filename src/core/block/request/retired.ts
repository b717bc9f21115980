import { BlockError } from '../../errors/block-error.ts';
import type { Image } from '../driver.ts';

/** Stands in for an image that was closed below its users: every request fails. */
export function retiredImage(name: string, size: number): Image {
  const refuse = (): never => {
    throw new BlockError(`node '${name}' has been closed`, { code: 'ENOMEDIUM' });
  };
  return {
    size,
    read: refuse,
    write: refuse,
    writeCompressed: refuse,
    zero: refuse,
    discard: refuse,
    flush: refuse,
    truncate: async () => refuse(),
    status: refuse,
    close: async () => undefined,
  };
}
