/**
 * The control socket: commands over a stream of JSON, as QMP clients speak it.
 *
 * What belongs here: the session (greeting, negotiation, ids, errors, events), the records of commands and events in
 * files per family, and what follows from the records: checking, introspection, the document. What does not: where a
 * client comes from and when the program ends (commands/nbd), and any work that a command without a socket needs too.
 */

export { namedBackends } from './backends.ts';
export { addNode } from './block-nodes.ts';
export { type ExportOptions, exportOptions, requestExport, serverFields } from './export-options.ts';
export { listenQmp, type QmpListener, type QmpListenOptions, serveSocket } from './listener.ts';
export { flatAddress, inetListenAddress, inetListenFields, listenAddress, serverCredentials } from './nbd-address.ts';
export { BlockService, type QuitReason, type ServiceInit } from './service.ts';
export { Session, type SessionOptions, type SessionPipe } from './session.ts';
export { type BlockStats, blockStats } from './stats.ts';
