/** Payloads of reply chunks that are not data: errors and block status ("Structured reply types"). */
import { BlockError, errnoText, NotSupported } from '../../errors/block-error.ts';
import { ChunkType } from '../constants.ts';
import { codeOfErrorNumber } from '../error-numbers.ts';
import { broken, shownText } from './option-codec.ts';
import type { ExtentsReply } from './requests.ts';

/** Longest text of an error: its length has 16 bits. */
const MAX_TEXT = 65_535;
const ERROR_SIZE = 6;
const ERROR_OFFSET_SIZE = 14;
/** Bytes of descriptors in one status chunk: more than any server is known to send. */
const MAX_STATUS = 32 << 20;

/** What a server reports, with its own words where it has any. */
export function replyError(number: number, words: string): BlockError {
  const code = codeOfErrorNumber(number);
  const message = words === '' ? errnoText(code) : `${errnoText(code)} (the server says: ${words})`;
  return code === 'ENOTSUP' ? new NotSupported(message) : new BlockError(message, { code });
}

/** @throws BlockError for a length that an error chunk cannot have; unknown errors may have any up to a limit. */
export function checkErrorLength(type: number, length: number): void {
  const least = type === ChunkType.ERROR ? ERROR_SIZE : type === ChunkType.ERROR_OFFSET ? ERROR_OFFSET_SIZE : 0;
  if (length < least || length > ERROR_OFFSET_SIZE + MAX_TEXT) {
    throw broken(`an error of ${length} bytes, not ${least} to ${ERROR_OFFSET_SIZE + MAX_TEXT}`);
  }
}

const TWO_32 = 2 ** 32;

/** The error in the payload of a chunk, and the offset it happened at where that is told. */
export function decodeErrorChunk(
  type: number,
  payload: Uint8Array,
): { readonly error: BlockError; readonly offset: number | undefined } {
  if (payload.length < ERROR_SIZE) return { error: replyError(0, ''), offset: undefined };
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const number = view.getUint32(0);
  const textLength = view.getUint16(4);
  const rest = type === ChunkType.ERROR_OFFSET ? OFFSET : 0;
  if (ERROR_SIZE + textLength + rest > payload.length) {
    throw broken(`text of an error has ${textLength} bytes, more than the ${payload.length} of its chunk allow`);
  }
  const error = replyError(number, shownText(payload.subarray(ERROR_SIZE, ERROR_SIZE + textLength)));
  if (rest === 0) return { error, offset: undefined };
  const at = ERROR_SIZE + textLength;
  return { error, offset: view.getUint32(at) * TWO_32 + view.getUint32(at + 4) };
}

const OFFSET = 8;

/** Bytes before the descriptors, and of one of them. */
function statusLayout(type: number): { readonly head: number; readonly each: number } {
  return type === ChunkType.BLOCK_STATUS_EXT ? { head: 8, each: 16 } : { head: 4, each: 8 };
}

/** @throws BlockError for a length that is no whole number of descriptors, or too many. */
export function checkStatusLength(type: number, length: number): void {
  const { head, each } = statusLayout(type);
  if (length < head + each || (length - head) % each !== 0) throw broken(`block status in ${length} bytes`);
  if (length - head > MAX_STATUS) throw broken(`block status of ${length} bytes, more than ${MAX_STATUS}`);
}

/** The descriptors of the context that was agreed on, copied. */
export function decodeStatusChunk(type: number, payload: Uint8Array, contextId: number | undefined): ExtentsReply {
  const { head, each } = statusLayout(type);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const id = view.getUint32(0);
  if (id !== contextId) throw broken(`block status of metadata context ${id}, which was not asked for`);
  const extended = type === ChunkType.BLOCK_STATUS_EXT;
  const count = (payload.length - head) / each;
  if (extended && view.getUint32(4) !== count) throw broken(`${view.getUint32(4)} extents told, ${count} sent`);
  return { descriptors: new Uint8Array(payload.subarray(head)), extended };
}
