import type { Edge } from '../../core/block/graph/edge.ts';
import type { HeaderArea } from '../../core/crypto/index.ts';

/** An edge as the place of a header. */
export function areaOf(edge: Edge): HeaderArea {
  return {
    get length() {
      return edge.size;
    },
    read: (offset, buf) => edge.read(offset, buf),
    write: (offset, buf) => edge.write(offset, buf),
    flush: () => edge.flush(),
  };
}
