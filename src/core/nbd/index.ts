/**
 * The NBD wire format, shared by the server (core/export) and the client (the driver `nbd`).
 *
 * Here belong the numbers of the protocol, the encoding and decoding of each message, its limits and error numbers,
 * and the reader that takes messages out of a stream. Here does not belong anything that knows sockets, images, or
 * what to do about a message. Sections named in comments are those of the protocol text, doc/proto.md of
 * NetworkBlockDevice/nbd.
 */
export * from './byte-reader.ts';
export * from './constants.ts';
export * from './error-numbers.ts';
export * from './option-replies.ts';
export * from './option-requests.ts';
export * from './replies.ts';
export * from './requests.ts';
