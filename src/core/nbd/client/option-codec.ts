/** Options as a client sends them and the answers of the server ("Option types", "Option reply types"). */
import { safeNumber } from '../../bytes/sizes.ts';
import { BlockError } from '../../errors/block-error.ts';
import { FIRST_OPTION_ERROR, Info, Limit, Magic, OptionReply, Size } from '../constants.ts';

/** Longest data of one answer in bytes: a name and a description fit, with room for what is to come. */
export const MAX_REPLY_DATA = 64 * 1024;

export interface OptionReplyHeader {
  readonly option: number;
  readonly type: number;
  /** Bytes of data that follow. */
  readonly length: number;
}

/** An option with its data. */
export function encodeOption(option: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const message = Buffer.alloc(Size.OPTION_HEADER + data.length);
  message.writeBigUInt64BE(Magic.OPTION, 0);
  message.writeUInt32BE(option, 8);
  message.writeUInt32BE(data.length, 12);
  message.set(data, Size.OPTION_HEADER);
  return message;
}

/** Data of INFO and GO. */
export function encodeInfoData(exportName: string, requests: readonly number[]): Uint8Array {
  const name = Buffer.from(exportName, 'utf8');
  const data = Buffer.alloc(4 + name.length + 2 + 2 * requests.length);
  data.writeUInt32BE(name.length, 0);
  data.set(name, 4);
  data.writeUInt16BE(requests.length, 4 + name.length);
  for (const [index, request] of requests.entries()) data.writeUInt16BE(request, 6 + name.length + 2 * index);
  return data;
}

/** Data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export function encodeContextData(exportName: string, queries: readonly string[]): Uint8Array {
  const parts = [lengthAndText(exportName), u32(queries.length), ...queries.map(lengthAndText)];
  return Buffer.concat(parts);
}

function lengthAndText(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'utf8');
  return Buffer.concat([u32(bytes.length), bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** @throws BlockError for what is no answer to `option`, or is too long. */
export function decodeReplyHeader(bytes: Uint8Array, option: number): OptionReplyHeader {
  const view = viewOf(bytes);
  const magic = view.getBigUint64(0);
  if (magic !== Magic.OPTION_REPLY) throw broken(`answer to option ${option} begins with 0x${magic.toString(16)}`);
  const header = { option: view.getUint32(8), type: view.getUint32(12), length: view.getUint32(16) };
  if (header.option !== option) throw broken(`an answer to option ${header.option} came where ${option} was asked`);
  if (header.length > MAX_REPLY_DATA) {
    throw broken(`answer to option ${option} has ${header.length} bytes, more than ${MAX_REPLY_DATA}`);
  }
  return header;
}

export interface ListedExport {
  readonly name: string;
  readonly description: string;
}

/** Data of a SERVER answer. */
export function decodeServer(data: Uint8Array): ListedExport {
  if (data.length < 4) throw broken(`name of an export in ${data.length} bytes, fewer than 4`);
  const length = viewOf(data).getUint32(0);
  if (length > data.length - 4 || length > Limit.STRING) {
    throw broken(`name of an export has ${length} bytes, more than ${Math.min(data.length - 4, Limit.STRING)}`);
  }
  return { name: textOf(data.subarray(4, 4 + length)), description: textOf(data.subarray(4 + length)) };
}

/** Data of a META_CONTEXT answer. */
export function decodeContext(data: Uint8Array): { readonly id: number; readonly name: string } {
  if (data.length < 4 || data.length - 4 > Limit.STRING) throw broken(`metadata context of ${data.length} bytes`);
  return { id: viewOf(data).getUint32(0), name: textOf(data.subarray(4)) };
}

export interface BlockSizes {
  readonly minimum: number;
  readonly preferred: number;
  /** Longest payload in bytes; {@link Limit.NO_MAXIMUM} for any. */
  readonly maximum: number;
}

/** What INFO and GO tell, put together from their answers. */
export interface ExportInfo {
  size?: number;
  flags?: number;
  name?: string;
  description?: string;
  blockSizes?: BlockSizes;
}

/** Take one INFO answer into `info`; unknown types are passed over, as the protocol text demands. */
export function takeInfo(data: Uint8Array, info: ExportInfo): void {
  if (data.length < 2) throw broken(`information of ${data.length} bytes, fewer than 2`);
  const view = viewOf(data);
  switch (view.getUint16(0)) {
    case Info.EXPORT:
      expectLength('export', data, 12);
      if (info.size !== undefined) throw broken('the size of the export was told twice');
      info.size = exportSize(view.getBigUint64(2));
      info.flags = view.getUint16(10);
      break;
    case Info.BLOCK_SIZE:
      expectLength('block size', data, 14);
      info.blockSizes = checkBlockSizes(view.getUint32(2), view.getUint32(6), view.getUint32(10));
      break;
    case Info.NAME:
      info.name = textOf(data.subarray(2));
      break;
    case Info.DESCRIPTION:
      info.description = textOf(data.subarray(2));
      break;
  }
}

/** The size of an export as a number of bytes. */
export function exportSize(size: bigint): number {
  return safeNumber(size, 'size of the export');
}

function expectLength(what: string, data: Uint8Array, length: number): void {
  if (data.length !== length) throw broken(`${what} information has ${data.length} bytes, not ${length}`);
}

/** Largest minimum block size the protocol text allows, in bytes. */
const MAX_MINIMUM = 65_536;

/** "Size constraints". */
function checkBlockSizes(minimum: number, preferred: number, maximum: number): BlockSizes {
  if (!isPowerOfTwo(minimum) || minimum > MAX_MINIMUM) {
    throw broken(`minimum block size ${minimum} is not a power of two up to ${MAX_MINIMUM}`);
  }
  if (!isPowerOfTwo(preferred) || preferred < minimum) {
    throw broken(`preferred block size ${preferred} is not a power of two from ${minimum} on`);
  }
  if (maximum < minimum) throw broken(`maximum payload size ${maximum} is below the minimum block size ${minimum}`);
  return { minimum, preferred, maximum };
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}

/** Name of an error answer of the protocol text. */
export function errorName(type: number): string {
  return Object.entries(OptionReply).find(([, value]) => value === type)?.[0] ?? `0x${type.toString(16)}`;
}

export function isError(type: number): boolean {
  return type >= FIRST_OPTION_ERROR;
}

/** Text of a server for one line: no control characters, of bounded length. */
export function shownText(data: Uint8Array): string {
  return textOf(data.subarray(0, Limit.STRING))
    .replace(/\p{Cc}+/gu, ' ')
    .slice(0, MAX_SHOWN)
    .trim();
}

/** Characters of a server's own words that a message shows. */
const MAX_SHOWN = 200;

function textOf(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.length).toString('utf8');
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The server does not keep to the protocol. */
export function broken(what: string): BlockError {
  return new BlockError(`the server breaks the NBD protocol: ${what}`, { code: 'EPROTO' });
}
