/** What a server sends before the transmission phase ("Newstyle negotiation", "Option reply types"). */
import { Info, Magic, Size } from './constants.ts';

/** The first message of a connection. `flags` are handshake flags. */
export function encodeGreeting(flags: number): Buffer {
  const bytes = Buffer.alloc(Size.GREETING);
  bytes.writeBigUInt64BE(Magic.INIT, 0);
  bytes.writeBigUInt64BE(Magic.OPTION, 8);
  bytes.writeUInt16BE(flags, 16);
  return bytes;
}

/** A reply to `option`, with data that {@link encodeExportInfo} and the like have made. */
export function encodeOptionReply(option: number, type: number, data: Uint8Array = new Uint8Array(0)): Buffer {
  const bytes = Buffer.alloc(Size.OPTION_REPLY_HEADER + data.length);
  bytes.writeBigUInt64BE(Magic.OPTION_REPLY, 0);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(type, 12);
  bytes.writeUInt32BE(data.length, 16);
  bytes.set(data, Size.OPTION_REPLY_HEADER);
  return bytes;
}

export function encodeExportInfo(size: number, flags: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt16BE(Info.EXPORT, 0);
  bytes.writeBigUInt64BE(BigInt(size), 2);
  bytes.writeUInt16BE(flags, 10);
  return bytes;
}

/** Constraints on the lengths of requests, in bytes ("Size constraints"). */
export interface BlockSizes {
  readonly minimum: number;
  readonly preferred: number;
  readonly maximum: number;
}

export function encodeBlockSizes({ minimum, preferred, maximum }: BlockSizes): Buffer {
  const bytes = Buffer.alloc(14);
  bytes.writeUInt16BE(Info.BLOCK_SIZE, 0);
  bytes.writeUInt32BE(minimum, 2);
  bytes.writeUInt32BE(preferred, 6);
  bytes.writeUInt32BE(maximum, 10);
  return bytes;
}

/** `type` is NAME or DESCRIPTION. */
export function encodeTextInfo(type: number, text: string): Buffer {
  const bytes = Buffer.alloc(2 + Buffer.byteLength(text));
  bytes.writeUInt16BE(type, 0);
  bytes.write(text, 2);
  return bytes;
}

/** One export in the answer to LIST. */
export function encodeServerEntry(name: string, description: string): Buffer {
  const length = Buffer.byteLength(name);
  const bytes = Buffer.alloc(4 + length + Buffer.byteLength(description));
  bytes.writeUInt32BE(length, 0);
  bytes.write(name, 4);
  bytes.write(description, 4 + length);
  return bytes;
}

export function encodeContext(id: number, name: string): Buffer {
  const bytes = Buffer.alloc(4 + Buffer.byteLength(name));
  bytes.writeUInt32BE(id, 0);
  bytes.write(name, 4);
  return bytes;
}

/** The answer to EXPORT_NAME, which has no header. */
export function encodeExportNameReply(size: number, flags: number, zeroes: boolean): Buffer {
  const bytes = Buffer.alloc(Size.EXPORT_NAME_REPLY + (zeroes ? Size.EXPORT_NAME_ZEROES : 0));
  bytes.writeBigUInt64BE(BigInt(size), 0);
  bytes.writeUInt16BE(flags, 8);
  return bytes;
}
