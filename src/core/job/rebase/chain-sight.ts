/** What a chain shows at an offset, as far as it can be told without reading. The chain holds still. */
import { after, type Maybe } from '../../async/maybe.ts';
import type { Node } from '../../block/graph/node.ts';
import { realName } from '../../block/graph/opening.ts';
import { type ChainExtent, chainStatus } from '../../block/graph/status.ts';

export interface Sight {
  /** It holds from the offset asked for up to here. */
  readonly end: number;
  readonly zero: boolean;
  /** Which stored bytes it shows, for {@link sameContent}; undefined where that cannot be told. */
  readonly place: Place | undefined;
}

interface Place {
  /** The layer that decides, and the file its data lies in: by driver and name, since each chain has its own nodes. */
  readonly layer: string;
  readonly file: string;
  /** Offset in the file less the offset of the disk. */
  readonly shift: number;
}

/** Drivers of which a name stands for one thing only. */
const FILES: readonly string[] = ['file', 'host_device'];

export class ChainSight {
  readonly #top: Node | undefined;
  readonly #names = new Map<Node, string | undefined>();
  #last: { readonly start: number; readonly sight: Sight } | undefined;

  /** @param top undefined for a chain of nothing, which shows zeroes */
  constructor(top: Node | undefined) {
    this.#top = top;
  }

  /** The end of the disk, behind which there are zeroes. */
  get size(): number {
    return this.#top?.io.size ?? 0;
  }

  at(offset: number): Maybe<Sight> {
    const last = this.#last;
    if (last && last.start <= offset && offset < last.sight.end) return last.sight;
    if (!this.#top || offset >= this.size) return { end: Number.MAX_SAFE_INTEGER, zero: true, place: undefined };
    return after(chainStatus(this.#top, undefined, { offset, length: this.size - offset }), (extent) => {
      const sight = { end: offset + extent.length, zero: extent.zero, place: this.#placeOf(offset, extent) };
      this.#last = { start: offset, sight };
      return sight;
    });
  }

  #placeOf(offset: number, { node, file, offset: stored }: ChainExtent): Place | undefined {
    if (!node || !file || stored === undefined) return undefined;
    const names = [this.#nameOf(node), this.#nameOf(file)] as const;
    if (names[0] === undefined || names[1] === undefined) return undefined;
    return { layer: names[0], file: names[1], shift: stored - offset };
  }

  /** Undefined for what is not a format or raw disk in a file of the host. */
  #nameOf(node: Node): string | undefined {
    if (!this.#names.has(node)) {
      const { driver } = node;
      const isFile = driver.kind === 'protocol' ? FILES.includes(driver.name) : driver.kind === 'format';
      this.#names.set(node, isFile ? `${driver.name} ${realName(node.fileName)}` : undefined);
    }
    return this.#names.get(node);
  }
}

/** Both show the same bytes of one file, through the same format: equal without being read. */
export function sameContent(a: Sight, b: Sight): boolean {
  if (a.zero && b.zero) return true;
  const { place } = a;
  const other = b.place;
  if (!place || !other) return false;
  return place.shift === other.shift && place.layer === other.layer && place.file === other.file;
}
