/**
 * The control socket: commands over a stream of JSON, as QMP clients speak it.
 *
 * What belongs here: the session (greeting, negotiation, ids, errors, events), the records of commands and events in
 * files per family, and what follows from the records: checking, introspection, the document. What does not: where a
 * client comes from and when the program ends (commands/nbd), and any work that a command without a socket needs too.
 */

export { allCommands, commandTable } from './commands/index.ts';
export { documentOf } from './document.ts';
export { EventBus, type QmpEvent } from './event-bus.ts';
export { JsonStream } from './json-stream.ts';
export { listenQmp, type QmpListener } from './listener.ts';
export { BlockService, type ServiceInit } from './service.ts';
export { Session, type SessionPipe } from './session.ts';
