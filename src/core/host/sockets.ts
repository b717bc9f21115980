/** What Node does not offer of sockets. */
import type { Socket } from 'node:net';
import { addressOf } from './address.ts';
import { libc } from './libc.ts';

const F_DUPFD_CLOEXEC = 1030;
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
  if (fd === undefined) return;
  const value = Int32Array.of(bytes);
  libc('setsockopt')?.(fd, SOL_SOCKET, SO_SNDBUF, addressOf(value), value.byteLength);
}
