/** Replies without data, in the form that was negotiated. */
import {
  ChunkType,
  encodeChunk,
  encodeError,
  type NbdErrorNumber,
  putChunkHeader,
  putSimpleReply,
  type RequestHeader,
  Size,
} from '../nbd/index.ts';
import type { Channel } from './nbd-channel.ts';
import type { Session } from './nbd-session.ts';

export interface ReplyPath {
  readonly channel: Channel;
  readonly session: Session;
}

/** A simple reply where it is allowed: it is the shortest. */
export function putSuccess({ channel: { sender }, session: { form } }: ReplyPath, request: RequestHeader): void {
  const length = form === 'extended' ? Size.EXTENDED_REPLY : Size.SIMPLE_REPLY;
  sender.place(length);
  if (form !== 'extended') putSimpleReply(sender.bytes, sender.at, request, 0);
  else putChunkHeader(sender.bytes, sender.at, form, request, { type: ChunkType.NONE, done: true, length: 0 });
  sender.commit(length);
}

/** `message` goes along where the form has room for one. */
export function putFailure(
  { channel: { sender }, session: { form } }: ReplyPath,
  request: RequestHeader,
  error: NbdErrorNumber,
  message: string,
): void {
  if (form === 'simple') {
    sender.place(Size.SIMPLE_REPLY);
    putSimpleReply(sender.bytes, sender.at, request, error);
    sender.commit(Size.SIMPLE_REPLY);
    return;
  }
  sender.append(encodeChunk(form, request, { type: ChunkType.ERROR, done: true }, encodeError(error, message)));
}
