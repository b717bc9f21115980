/** Block status across a chain: which layer decides a range, and whether it is data or zeroes there. */
import { after, type Maybe } from '../../async/maybe.ts';
import type { Extent } from '../driver.ts';
import type { Node } from './node.ts';

export interface ChainExtent {
  readonly length: number;
  readonly data: boolean;
  readonly zero: boolean;
  readonly compressed: boolean;
  /**
   * Some layer above the base decides the content. Past the end of a layer that is shorter than the disk that
   * is the layer itself, since the base does not show through; without a base nothing is there to be hidden.
   */
  readonly allocated: boolean;
  /** Distance of that layer from the top, filters not counted; of the last one asked when none decides. */
  readonly depth: number;
  /** The layer; undefined when none decides. */
  readonly node: Node | undefined;
  /** Offset in `file` where the data lies or would lie, when it lies in one piece and uncompressed. */
  readonly offset: number | undefined;
  readonly file: Node | undefined;
}

type LayerExtent = Extent & { file?: Node };

/** What a node says by itself of a range within its size: holes of the file below taken into account. */
export function layerStatus(node: Node, offset: number, length: number, precise: boolean): Maybe<LayerExtent> {
  if (offset >= node.image.size) {
    // What is missing to the last whole sector.
    return { length, allocated: true, data: false, zero: true, ...(isProtocol(node) ? { offset, file: node } : {}) };
  }
  return after(node.io.status(offset, length, precise), (extent) => {
    if (!extent.edge || extent.offset === undefined) return withOwnFile(node, offset, extent);
    const below = extent.edge.node;
    const own: LayerExtent = { ...extent, file: below };
    if (!extent.recurse || !extent.data || extent.zero || (!precise && !extent.transparent)) return own;
    const range = { offset: extent.offset, length: extent.length, precise };
    return after(chainStatus(below, undefined, range), (deep) => deepen(own, deep));
  });
}

function isProtocol(node: Node): boolean {
  return node.driver.kind === 'protocol';
}

function withOwnFile(node: Node, offset: number, extent: Extent): LayerExtent {
  if (extent.offset !== undefined) return { ...extent, file: node };
  return isProtocol(node) && !node.image.status ? { ...extent, offset, file: node } : extent;
}

/** A range that is data to the format can still be a hole of the file. */
function deepen(own: LayerExtent, deep: ChainExtent): LayerExtent {
  // Past the end of the file below.
  if (deep.length === 0) return { ...own, zero: true };
  if (!own.transparent) return { ...own, length: deep.length, zero: deep.zero };
  const { length, data, zero, compressed, offset, file } = deep;
  return { length, allocated: true, data, zero, compressed, ...(offset === undefined ? {} : { offset, file }) };
}

export interface ChainRange {
  readonly offset: number;
  readonly length: number;
  /** False takes "all data" from layers where finding holes costs time. */
  readonly precise?: boolean;
}

/**
 * Status at `range.offset` seen from `top`, looking through layers down to and excluding `base`
 * (undefined: to the end of the chain). The length returned is at most `range.length`, and 0 only at the end.
 * What none of the layers decides reads as zeroes without a base; with one, it is for the base to say.
 */
export function chainStatus(top: Node, base: Node | undefined, range: ChainRange): Maybe<ChainExtent> {
  const length = Math.min(range.length, Math.max(0, top.io.size - range.offset));
  if (length === 0) return NOTHING;
  // Between two layers the chain must not change.
  return top.io.during(new Descent(top, base, { ...range, length }).run());
}

/** One walk down a chain: in a loop, since files choose how many layers there are. */
class Descent {
  readonly #base: Node | undefined;
  readonly #offset: number;
  readonly #precise: boolean;
  #node: Node | undefined;
  /** Bytes for which all layers so far have said "not here". */
  #length: number;
  /** Layers asked so far, filters not counted. */
  #asked = 0;
  /** The last answer, from a layer that does not decide: it may have set space aside for what is not there. */
  #last: LayerExtent | undefined;

  constructor(top: Node, base: Node | undefined, range: ChainRange) {
    this.#node = top;
    this.#base = base;
    this.#offset = range.offset;
    this.#length = range.length;
    this.#precise = range.precise ?? true;
  }

  run(): Maybe<ChainExtent> {
    for (;;) {
      const node = this.#arrive();
      if (!node) return this.#nobody();
      const answer = this.#ask(node);
      if (answer instanceof Promise) return this.#finish(node, answer);
      const found = this.#take(node, answer);
      if (found) return found;
    }
  }

  /** The same, from the first answer on that has to be waited for. */
  async #finish(first: Node, pending: Promise<LayerExtent>): Promise<ChainExtent> {
    let answer: Maybe<LayerExtent> = pending;
    for (let node: Node | undefined = first; node; node = this.#arrive()) {
      if (node !== first) answer = this.#ask(node);
      const found = this.#take(node, await answer);
      if (found) return found;
    }
    return this.#nobody();
  }

  /** The next layer with something to say, past filters that have not; undefined at the end of the walk. */
  #arrive(): Node | undefined {
    let talking: Node | undefined;
    let node = this.#node;
    for (; node && node !== this.#base && isFilter(node); node = node.filtered?.node) {
      if (node.image.status) talking ??= node;
    }
    // A filter right above the base has the content of the base.
    this.#node = node === this.#base ? node : (talking ?? node);
    node = this.#node;
    if (!node || node === this.#base) return undefined;
    return this.#asked > 0 && this.#offset >= node.io.size ? undefined : node;
  }

  #ask(node: Node): Maybe<LayerExtent> {
    return layerStatus(node, this.#offset, Math.min(this.#length, node.io.size - this.#offset), this.#precise);
  }

  /** The answer of the walk when this layer decides; else on to the next. */
  #take(node: Node, extent: LayerExtent): ChainExtent | undefined {
    if (!extent.allocated) {
      this.#length = Math.min(this.#length, extent.length);
      this.#last = extent;
      if (!isFilter(node)) this.#asked++;
      this.#node = node.backing?.node ?? (isFilter(node) ? node.filtered?.node : undefined);
      return undefined;
    }
    const { length, data, zero, compressed = false, offset, file } = extent;
    return {
      length,
      data,
      zero,
      compressed,
      allocated: true,
      depth: this.#asked,
      node,
      offset,
      file: offset === undefined ? undefined : file,
    };
  }

  /** No layer has it: the base is to say, the chain is at its end, or the next layer ends before here. */
  #nobody(): ChainExtent {
    const short = this.#node !== this.#base ? this.#node : undefined;
    const hides = short !== undefined && this.#base !== undefined;
    const place = this.#node === undefined && this.#last?.offset !== undefined ? this.#last : undefined;
    return {
      ...NOTHING,
      offset: place?.offset,
      file: place?.file,
      length: this.#length,
      depth: Math.max(0, this.#asked - 1),
      zero: hides || this.#base === undefined || this.#node === undefined,
      allocated: hides,
      node: hides ? short : undefined,
    };
  }
}

function isFilter(node: Node): boolean {
  return node.driver.kind === 'filter';
}

const NOTHING: ChainExtent = {
  length: 0,
  data: false,
  zero: true,
  compressed: false,
  allocated: false,
  depth: 0,
  node: undefined,
  offset: undefined,
  file: undefined,
};
