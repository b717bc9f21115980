/** What a server has to tell, on standard error: lines for a person, or an object a line for a program. */
import type { ListenAddress, ServerEvent } from '../../core/export/index.ts';
import { commandName } from '../../core/nbd/index.ts';
import { type Io, userLines } from '../cli/io.ts';

type Told =
  | ServerEvent
  | { readonly type: 'listening'; readonly address: ListenAddress }
  | { readonly type: 'disk'; readonly device: string; readonly image: string }
  | { readonly type: 'stopping'; readonly reason: string };

/** What is said of an image that is opened or in use: a line under the program's name, or one as it stands. */
interface Remark {
  readonly type: 'remark';
  readonly kind: 'warning' | 'note';
  readonly message: string;
}

export type LogEvent = Told | Remark;

export interface LogSettings {
  readonly format: 'text' | 'json' | undefined;
  readonly verbose: boolean;
}

/** Where events go; without words for them only what failed is told, and that a disk is there to whoever waits for it. */
export function eventLog(io: Io, { format, verbose }: LogSettings): (event: LogEvent) => void {
  if (format === 'json') return (event) => io.stderr.write(`${JSON.stringify(jsonEvent(event))}\n`);
  const all = format === 'text';
  const lines = userLines(io);
  return (event) => {
    if (event.type === 'remark') return lines[event.kind === 'warning' ? 'warn' : 'note'](event.message);
    const isTold = all || isFailure(event) || (verbose && event.type === 'disk');
    if (isTold) io.stderr.write(`${io.programName}: ${textOf(event)}\n`);
  };
}

function isFailure(event: Told): boolean {
  return event.type === 'request-failed' || (event.type === 'disconnected' && event.error !== undefined);
}

function jsonEvent(event: LogEvent): Readonly<Record<string, unknown>> {
  const time = new Date().toISOString();
  if (event.type === 'remark') return { time, event: event.kind, message: event.message };
  const { type, ...rest } = event;
  const named = event.type === 'request-failed' ? { ...rest, command: commandName(event.command) } : rest;
  if (!('error' in event) || event.error === undefined) return { time, event: type, ...named };
  const { code, message } = event.error;
  return { time, event: type, ...named, error: { code, message } };
}

function textOf(event: Told): string {
  switch (event.type) {
    case 'listening':
      return `listening on ${addressOf(event.address)}`;
    case 'disk':
      return `NBD device ${event.device} is now connected to ${event.image}`;
    case 'stopping':
      return `stopping: ${event.reason}`;
    case 'connected':
      return `client ${event.client} has connected`;
    case 'refused':
      return `client ${event.client} was turned away`;
    case 'serving':
      return `client ${event.client} uses export '${event.export}'`;
    case 'request-failed':
      return `client ${event.client}: ${commandName(event.command)} failed: ${event.error.message}`;
    case 'disconnected':
      return `client ${event.client} has left${event.error ? `: ${event.error.message}` : ''}`;
  }
}

function addressOf(address: ListenAddress): string {
  if (address.type === 'unix') return address.path;
  return address.type === 'fd' ? `descriptor ${address.fd}` : `${address.host} port ${address.port}`;
}
