/** What Node does not offer of sockets. */
import type { Socket } from 'node:net';
import { NotSupported } from '../errors/block-error.ts';
import { addressOf } from './address.ts';
import { hostError } from './errno.ts';
import { libc, negativeErrno } from './libc.ts';

const F_DUPFD_CLOEXEC = 1030;
const AF_UNIX = 1;
const SOCK_STREAM = 1;
/** Also of sockets: not for programs that this one starts. */
export const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;

/** Not in Node's documentation, but there for as long as there have been handles; -1 where the system has none. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: unknown } | null };
  const fd = handle?.fd;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

/** A second descriptor of a socket, for whoever closes it; undefined where that cannot be had. */
export function duplicateDescriptor(socket: Socket): number | undefined {
  const fd = descriptorOf(socket);
  const copy = fd === undefined ? -1 : (libc('fcntl')?.(fd, F_DUPFD_CLOEXEC, 0) ?? -1);
  return copy < 0 ? undefined : copy;
}

/**
 * Let a unix socket hold up to `bytes` that are not fetched yet, as far as the kernel allows. By default they hold 208
 * KiB, and a sender is woken when a quarter of that is left. The buffers of TCP grow by themselves, and are left alone.
 */
export function setUnixSendBuffer(socket: Socket, bytes: number): void {
  const fd = socket.remoteAddress === undefined ? descriptorOf(socket) : undefined;
  if (fd !== undefined) setSendBuffer(fd, bytes);
}

/** The descriptors of two unix sockets that are connected with each other, each of which may hold `buffer` bytes. */
export function socketPair(buffer: number): readonly [number, number] {
  const call = libc('socketpair');
  if (call === undefined) throw new NotSupported('this system has no pairs of sockets that can be used');
  const pair = new Int32Array(2);
  if (call(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, addressOf(pair)) < 0) {
    throw hostError('make', 'a pair of sockets', negativeErrno());
  }
  const [first = -1, second = -1] = pair;
  for (const fd of [first, second]) setSendBuffer(fd, buffer);
  return [first, second];
}

function setSendBuffer(fd: number, bytes: number): void {
  const value = Int32Array.of(bytes);
  libc('setsockopt')?.(fd, SOL_SOCKET, SO_SNDBUF, addressOf(value), value.byteLength);
}
