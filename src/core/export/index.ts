/**
 * Exports: what serves a graph to others.
 *
 * Here belong the record of what is served (an export), the NBD server with its connections, and the life of both:
 * commands and the control socket only start, change and stop them. Here does not belong the wire format (core/nbd),
 * nor anything that prints.
 */
export { type BitmapSource, bitmapSource } from './bitmap-source.ts';
export { Export, type ExportSettings } from './export.ts';
export { KernelDisk } from './kernel-disk.ts';
export { addressText, type InetListenAddress, type ListenAddress, Listener } from './nbd-listener.ts';
export { NbdServer, type ServerEvent, type ServerSettings } from './nbd-server.ts';
export type { ServerCredentials } from './server-credentials.ts';
export { tlsEntrance } from './tls-entrance.ts';
