import type { Closer } from '../async/closer.ts';
import type { Maybe } from '../async/maybe.ts';
import type { OptionSchema, Options } from '../options/schema.ts';
import type { Extent } from './driver.ts';
import type { Edge } from './graph/edge.ts';
import type { ObjectKind, ObjectKinds } from './objects/object-type.ts';

/** Making new images: `create` of the command line and `blockdev-create`. */
export interface CreateCapability {
  /** Creation options under their command-line names. */
  readonly options: OptionSchema;
  /** Options that `-o help` of this driver shows beside its own: those of the protocol below. */
  readonly withProtocolOptions?: boolean;
  /** Options of its own that are for the protocol to carry out: `-o help` shows them where it shows those. */
  readonly protocolOptions?: readonly string[];
  /** With these options, as typed, an image has no size of its own to be given. */
  sizeIsOptional?(options: Options): boolean;
  /** Create; a format driver finds its file already made, empty and open read-write as `context.file`. */
  run(context: CreateContext): Promise<void>;
  /** Options whose values a caller sees after defaults are applied, in display order, for the "Formatting" line. */
  readonly displayOrder?: readonly string[];
  /**
   * Options that the control socket does not call by their name with dashes: how it does, and what its values mean
   * here. Null for those that are not there, since a node is given in their place.
   */
  readonly wire?: Readonly<
    Record<
      string,
      { readonly name: string; readonly help: string; readonly values?: Readonly<Record<string, string>> } | null
    >
  >;
  /** Its images can store compressed data. */
  readonly compresses?: boolean;
  /** Space needed for an image, for `measure`. */
  measure?(context: MeasureContext): Promise<{ required: number; fullyAllocated: number; bitmaps?: number }>;
}

export interface CreateContext {
  readonly options: Options;
  /** For protocol drivers: what to create. */
  readonly fileName: string;
  /** For format drivers: an edge on the new protocol node with write and resize permission. */
  readonly file?: Edge;
  /** Create and open a further file next to the main one (an external data file). */
  createFile(fileName: string, options: Options): Promise<Edge>;
  /** What a user has defined under this id, such as a secret. @throws BlockError with code ENOENT for an unknown one. */
  object<K extends ObjectKind>(kind: K, id: string): ObjectKinds[K];
  readonly closer: Closer;
  readonly signal?: AbortSignal;
  progress?(done: number, total: number): void;
  warn(message: string): void;
}

export interface MeasureContext {
  readonly options: Options;
  /** Size in bytes of the disk to be stored, when there is no source. */
  readonly size?: number;
  /** The source, opened. */
  readonly source?: Edge;
  /** Status of the source seen through its backing chain; comes with `source`. */
  sourceStatus?(offset: number, length: number): Maybe<Extent>;
}
