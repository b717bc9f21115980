/** Sockets that are read into memory of ours, which spares an allocation and a copy for whatever arrives. */
import { Socket, type SocketConstructorOpts } from 'node:net';
import { duplicateDescriptor } from '../host/index.ts';

/** Whoever provides the memory. */
export interface Recipient {
  /** Where the next bytes are to be put. */
  space(): Uint8Array;
  /** So many bytes lie at the start of the last space. */
  filled(space: Uint8Array, length: number): void;
}

/**
 * The same connection as `accepted`, which is closed: Node offers this way of reading for sockets that are made from a
 * descriptor, not for those that a server has accepted. Undefined, with nothing changed, where descriptors cannot be had.
 */
export function readingInto(accepted: Socket, recipient: Recipient): Socket | undefined {
  const fd = duplicateDescriptor(accepted);
  if (fd === undefined) return undefined;
  const options = {
    fd,
    allowHalfOpen: true,
    onread: {
      buffer: () => recipient.space(),
      callback(length: number, bytes: Uint8Array) {
        recipient.filled(bytes, length);
        return true;
      },
    },
  };
  // Node's types know `onread` of sockets that connect only.
  const socket = new Socket(options as SocketConstructorOpts);
  accepted.destroy();
  return socket;
}
