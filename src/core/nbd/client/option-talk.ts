/** Options and their answers over one connection, up to the transmission. */
import { BlockError } from '../../errors/block-error.ts';
import { ExportFlag, Info, Limit, Option, OptionReply, Size } from '../constants.ts';
import {
  broken,
  decodeContext,
  decodeReplyHeader,
  decodeServer,
  type ExportInfo,
  encodeContextData,
  encodeInfoData,
  encodeOption,
  errorName,
  exportSize,
  isError,
  type ListedExport,
  MAX_REPLY_DATA,
  shownText,
  takeInfo,
} from './option-codec.ts';
import type { Transport } from './transport.ts';

/** Answers to one option: exports or contexts of a server have an end. */
const MAX_REPLIES = 100_000;
/** Pieces of information about one export. */
const MAX_INFOS = 256;

interface Answer {
  readonly type: number;
  readonly data: Uint8Array;
}

/** The server refused an option; `reply` is the type of its answer. */
export class OptionRefused extends BlockError {
  readonly reply: number;

  constructor(message: string, reply: number, hint?: string) {
    super(message, { code: reply === OptionReply.ERR_UNKNOWN ? 'ENOENT' : 'EINVAL', ...(hint ? { hint } : {}) });
    this.reply = reply;
  }
}

export class OptionTalk {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Ask for something that is a plain yes or no; false when the server does not know or like it. */
  async accepted(option: number): Promise<boolean> {
    this.#send(option);
    const answer = await this.#answer(option);
    if (answer.type === OptionReply.ACK) return true;
    if (isError(answer.type)) return false;
    throw unexpected(option, answer.type);
  }

  /** As {@link accepted}, but a no is an error that says why. */
  async demand(option: number, what: string): Promise<void> {
    this.#send(option);
    const answer = await this.#answer(option);
    if (answer.type === OptionReply.ACK) return;
    if (isError(answer.type)) throw refusal(what, answer);
    throw unexpected(option, answer.type);
  }

  /** INFO or GO; undefined when the server does not know that option. */
  async info(option: typeof Option.INFO | typeof Option.GO, exportName: string): Promise<ExportInfo | undefined> {
    this.#send(option, encodeInfoData(exportName, [Info.NAME, Info.DESCRIPTION, Info.BLOCK_SIZE]));
    const info: ExportInfo = {};
    for (let count = 0; ; count++) {
      const answer = await this.#answer(option);
      if (answer.type === OptionReply.ACK) {
        if (info.size === undefined) throw broken('no size was told of the export');
        return info;
      }
      if (answer.type === OptionReply.ERR_UNSUP) return undefined;
      if (isError(answer.type)) throw refusal(`export '${exportName}'`, answer);
      if (answer.type !== OptionReply.INFO) throw unexpected(option, answer.type);
      if (count >= MAX_INFOS) throw broken(`more than ${MAX_INFOS} pieces of information on one export`);
      takeInfo(answer.data, info);
    }
  }

  /** All exports; undefined when the server does not list them. `stop` ends it early, with the connection in midstream. */
  async list(): Promise<readonly ListedExport[] | undefined> {
    this.#send(Option.LIST);
    const found: ListedExport[] = [];
    for (let bytes = 0; ; ) {
      const answer = await this.#answer(Option.LIST);
      if (answer.type === OptionReply.ACK) return found;
      if (answer.type === OptionReply.ERR_UNSUP || answer.type === OptionReply.ERR_POLICY) return undefined;
      if (isError(answer.type)) throw refusal('listing exports', answer);
      if (answer.type !== OptionReply.SERVER) throw unexpected(Option.LIST, answer.type);
      bytes += answer.data.length;
      if (found.length >= MAX_REPLIES || bytes > Limit.OPTION) {
        throw broken(`more than ${found.length} exports in one list, of ${bytes} bytes`);
      }
      found.push(decodeServer(answer.data));
    }
  }

  /** Select or list contexts, by their names; the ids mean something when they were selected. */
  async contexts(
    option: typeof Option.LIST_META_CONTEXT | typeof Option.SET_META_CONTEXT,
    exportName: string,
    queries: readonly string[],
  ): Promise<ReadonlyMap<string, number>> {
    this.#send(option, encodeContextData(exportName, queries));
    const found = new Map<string, number>();
    for (let bytes = 0; ; ) {
      const answer = await this.#answer(option);
      if (answer.type === OptionReply.ACK) return found;
      if (isError(answer.type)) return new Map();
      if (answer.type !== OptionReply.META_CONTEXT) throw unexpected(option, answer.type);
      const { id, name } = decodeContext(answer.data);
      bytes += answer.data.length;
      if (found.size >= MAX_REPLIES || bytes > Limit.OPTION) throw broken(`more than ${found.size} metadata contexts`);
      if (found.has(name)) throw broken(`metadata context '${name}' was told twice`);
      found.set(name, id);
    }
  }

  /** The option without an answer to it when it fails: the server just closes the connection. */
  async exportName(exportName: string, zeroes: boolean): Promise<ExportInfo> {
    this.#send(Option.EXPORT_NAME, Buffer.from(exportName, 'utf8'));
    const length = Size.EXPORT_NAME_REPLY + (zeroes ? Size.EXPORT_NAME_ZEROES : 0);
    let reply: Uint8Array;
    try {
      reply = await this.#transport.reader.readExactly(length, `the size of export '${exportName}'`, length);
    } catch (error) {
      throw new BlockError(`the server closed the connection when asked for export '${exportName}'`, {
        code: 'ENOENT',
        hint: 'It may have no export of that name',
        cause: error,
      });
    }
    const view = new DataView(reply.buffer, reply.byteOffset, reply.length);
    return { size: exportSize(view.getBigUint64(0)), flags: view.getUint16(8) };
  }

  /** Leave politely, without waiting for an answer. */
  abort(): void {
    this.#send(Option.ABORT);
  }

  #send(option: number, data?: Uint8Array): void {
    this.#transport.write(encodeOption(option, data));
  }

  async #answer(option: number): Promise<Answer> {
    const { reader } = this.#transport;
    const size = Size.OPTION_REPLY_HEADER;
    const bytes = await reader.readExactly(size, `the answer to option ${option}`, size);
    const { type, length } = decodeReplyHeader(bytes, option);
    const data = await reader.readExactly(length, `data of the answer to option ${option}`, MAX_REPLY_DATA);
    if (type === OptionReply.ACK && length > 0) throw broken(`${length} bytes of data with a plain yes`);
    return { type, data };
  }
}

function unexpected(option: number, type: number): BlockError {
  return broken(`answer of type 0x${type.toString(16)} to option ${option}`);
}

/** Why the server would not, with its own words where it has any. */
function refusal(what: string, { type, data }: Answer): OptionRefused {
  const words = shownText(data);
  const said = words === '' ? '' : ` (the server says: ${words})`;
  switch (type) {
    case OptionReply.ERR_UNKNOWN:
      return new OptionRefused(`${what} is not there${said}`, type);
    case OptionReply.ERR_TLS_REQD:
      return new OptionRefused(`the server insists on TLS${said}`, type, 'Name credentials with tls-creds=ID');
    case OptionReply.ERR_POLICY:
      return new OptionRefused(`${what} is not allowed by the server${said}`, type);
    case OptionReply.ERR_UNSUP:
      return new OptionRefused(`${what} is not supported by the server${said}`, type);
    case OptionReply.ERR_SHUTDOWN:
      return new OptionRefused(`${what}: the server is shutting down${said}`, type);
    default:
      return new OptionRefused(`${what} was refused by the server with ${errorName(type)}${said}`, type);
  }
}

/** Flags that mean something only beside the one that says they do. */
export function usableFlags(flags: number): number {
  return (flags & ExportFlag.HAS_FLAGS) === 0 ? 0 : flags;
}
