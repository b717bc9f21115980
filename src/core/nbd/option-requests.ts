/** What a server reads in the option phase ("Fixed newstyle negotiation", "Option types"). */
import { BlockError } from '../errors/block-error.ts';
import { Limit, Magic, Option, Size } from './constants.ts';

export interface OptionHeader {
  readonly option: number;
  /** Bytes of data that follow. */
  readonly length: number;
}

/** @throws BlockError EPROTO when it does not begin with the magic of options: the stream is out of step. */
export function decodeOptionHeader(bytes: Uint8Array): OptionHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, Size.OPTION_HEADER);
  const magic = view.getBigUint64(0);
  if (magic !== Magic.OPTION) {
    throw new BlockError(`an option begins with 0x${magic.toString(16)} instead of IHAVEOPT`, { code: 'EPROTO' });
  }
  return { option: view.getUint32(8), length: view.getUint32(12) };
}

/** The data of an option does not follow the protocol; the connection goes on. */
export class BadOption extends BlockError {
  /** It breaks a limit rather than a rule. */
  readonly tooBig: boolean;

  constructor(message: string, tooBig = false) {
    super(message, { code: 'EPROTO' });
    this.tooBig = tooBig;
  }
}

export interface InfoRequest {
  readonly name: string;
  /** Types of information asked for. */
  readonly wanted: ReadonlySet<number>;
}

/** Data of INFO and GO. @throws BadOption */
export function decodeInfoRequest(data: Uint8Array): InfoRequest {
  const fields = new Fields(data);
  const name = fields.text('the export name');
  const count = fields.u16('the number of information requests');
  const wanted = new Set<number>();
  for (let index = 0; index < count; index++) wanted.add(fields.u16('an information request'));
  fields.end();
  return { name, wanted };
}

export interface ContextRequest {
  readonly name: string;
  readonly queries: readonly string[];
}

/** More queries than this are refused; a name of our own takes about as many bytes. */
const MAX_QUERIES = 1024;

/** Data of LIST_META_CONTEXT and SET_META_CONTEXT. @throws BadOption */
export function decodeContextRequest(data: Uint8Array): ContextRequest {
  const fields = new Fields(data);
  const name = fields.text('the export name');
  const count = fields.u32('the number of queries');
  if (count > MAX_QUERIES) throw new BadOption(`${count} queries are more than the limit of ${MAX_QUERIES}`, true);
  const queries: string[] = [];
  for (let index = 0; index < count; index++) queries.push(fields.text('a query'));
  fields.end();
  return { name, queries };
}

/** Data of EXPORT_NAME: all of it is the name. @throws BadOption */
export function decodeExportName(data: Uint8Array): string {
  return decodeText(data, 'the export name');
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** "Values": a string is UTF-8 of at most 4096 bytes without NUL. */
function decodeText(bytes: Uint8Array, what: string): string {
  if (bytes.length > Limit.STRING) {
    throw new BadOption(`${what} of ${bytes.length} bytes is longer than the limit of ${Limit.STRING}`, true);
  }
  if (bytes.includes(0)) throw new BadOption(`${what} contains a NUL`);
  try {
    return strict.decode(bytes);
  } catch {
    throw new BadOption(`${what} is not valid UTF-8`);
  }
}

/** Fields one after the other, each within what there is. */
class Fields {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  u16(what: string): number {
    return this.#view.getUint16(this.#skip(2, what));
  }

  u32(what: string): number {
    return this.#view.getUint32(this.#skip(4, what));
  }

  text(what: string): string {
    const length = this.u32(`the length of ${what}`);
    const start = this.#skip(length, what);
    return decodeText(this.#bytes.subarray(start, start + length), what);
  }

  end(): void {
    const left = this.#bytes.length - this.#at;
    if (left > 0) throw new BadOption(`${left} bytes are left over behind the data of the option`);
  }

  #skip(width: number, what: string): number {
    const at = this.#at;
    if (width > this.#bytes.length - at) {
      throw new BadOption(`${what} of ${width} bytes ends past the ${this.#bytes.length} bytes of the option`);
    }
    this.#at = at + width;
    return at;
  }
}

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(Option).map(([name, number]) => [number, name]));

/** `NBD_OPT_GO`, or the number of an unknown one: for messages. */
export function optionName(option: number): string {
  const name = NAMES.get(option);
  return name === undefined ? `option ${option}` : `NBD_OPT_${name}`;
}
