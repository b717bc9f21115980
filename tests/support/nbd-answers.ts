/** Whether what a server has said is well formed, where the client asked for structured replies or extended headers. */
import { ChunkType, Command, ExportFlag, Magic, NbdError, OptionReply, Size } from '../../src/core/nbd/index.ts';

const optionTypes = new Set<number>(Object.values(OptionReply));
const errors = new Set<number>(Object.values(NbdError));

/** Lengths of payloads that the text allows a type of chunk to have. */
const payloads: ReadonlyMap<number, (length: number) => boolean> = new Map<number, (length: number) => boolean>([
  [ChunkType.NONE, (length) => length === 0],
  [ChunkType.OFFSET_DATA, (length) => length > 8],
  [ChunkType.OFFSET_HOLE, (length) => length === 12],
  [ChunkType.BLOCK_STATUS, (length) => length >= 12 && length % 8 === 4],
  [ChunkType.BLOCK_STATUS_EXT, (length) => length >= 24 && length % 16 === 8],
  [ChunkType.ERROR, (length) => length >= 6],
]);

export interface Answers {
  readonly options: number;
  /** Cookies of the requests that were answered to the end. */
  readonly requests: readonly number[];
}

/**
 * Check what a server said to requests whose commands are known by their cookies.
 * @throws Error that says what is wrong, and where; what comes last may be cut off.
 */
export function checkAnswers(said: Buffer, commands: ReadonlyMap<number, number>): Answers {
  if (said.readUInt16BE(16) !== ExportFlag.HAS_FLAGS + 2) throw new Error('another greeting');
  let at: number = Size.GREETING;
  let options = 0;
  for (; at + Size.OPTION_REPLY_HEADER <= said.length && said.readBigUInt64BE(at) === Magic.OPTION_REPLY; options++) {
    const type = said.readUInt32BE(at + 12);
    if (!optionTypes.has(type)) throw new Error(`at byte ${at}: an answer of the type ${type}`);
    at += Size.OPTION_REPLY_HEADER + said.readUInt32BE(at + 16);
  }
  const requests: number[] = [];
  const extended = at + 4 <= said.length && said.readUInt32BE(at) === Magic.EXTENDED_REPLY;
  const header = extended ? Size.EXTENDED_REPLY : Size.STRUCTURED_REPLY;
  while (at + header <= said.length) {
    if (!extended && said.readUInt32BE(at) === Magic.SIMPLE_REPLY) {
      requests.push(simpleAnswer(said, at, commands));
      at += Size.SIMPLE_REPLY;
      continue;
    }
    if (said.readUInt32BE(at) !== (extended ? Magic.EXTENDED_REPLY : Magic.STRUCTURED_REPLY))
      throw new Error(`at byte ${at}: no reply begins with 0x${said.toString('hex', at, at + 4)}`);
    const [flags, type] = [said.readUInt16BE(at + 4), said.readUInt16BE(at + 6)];
    const length = extended ? Number(said.readBigUInt64BE(at + 24)) : said.readUInt32BE(at + 16);
    if (flags > 1 || !payloads.get(type)?.(length))
      throw new Error(`at byte ${at}: a chunk of the type ${type} with flags ${flags} and ${length} bytes`);
    if (type === ChunkType.ERROR && !errors.has(said.readUInt32BE(at + header)))
      throw new Error(`at byte ${at}: error ${said.readUInt32BE(at + header)}`);
    if (flags === 1) requests.push(Number(said.readBigUInt64BE(at + 8)));
    at += header + length;
  }
  return { options, requests };
}

/** Where structured replies were agreed on, what is read and block status need them; the rest may go without. */
function simpleAnswer(said: Buffer, at: number, commands: ReadonlyMap<number, number>): number {
  const error = said.readUInt32BE(at + 4);
  if (error !== 0 && !errors.has(error)) throw new Error(`at byte ${at}: error ${error}`);
  const cookie = Number(said.readBigUInt64BE(at + 8));
  const command = commands.get(cookie);
  if (command === undefined || command === Command.READ || command === Command.BLOCK_STATUS)
    throw new Error(`at byte ${at}: a simple reply to request ${cookie} (command ${command})`);
  return cookie;
}
