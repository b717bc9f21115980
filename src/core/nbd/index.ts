/**
 * The NBD wire format, shared by the server (core/export) and the client (the driver `nbd`).
 *
 * Here belong the numbers of the protocol, the encoding and decoding of each message, its limits and error numbers,
 * and the reader that takes messages out of a stream; in client/ also the way to a server, the negotiation and one
 * connection. Here does not belong anything that serves, or knows images. Sections named in comments are those of the
 * protocol text, doc/proto.md of NetworkBlockDevice/nbd.
 */
export * from './byte-reader.ts';
export * from './client/connect.ts';
export * from './client/connection.ts';
export * from './client/list-exports.ts';
export type { Negotiated, ReplyMode, TlsSettings } from './client/negotiation.ts';
export type { ClientRequest, ExtentsReply } from './client/requests.ts';
export * from './constants.ts';
export * from './error-numbers.ts';
export * from './export-name.ts';
export * from './option-replies.ts';
export * from './option-requests.ts';
export * from './receive-memory.ts';
export * from './replies.ts';
export * from './requests.ts';
export * from './socket-address.ts';
