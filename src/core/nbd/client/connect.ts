/** From an address to a connection that is ready for requests. */
import { BlockError, Cancelled, withContext } from '../../errors/block-error.ts';
import { describeAddress, type ServerAddress } from '../socket-address.ts';
import { type Negotiated, type NegotiationSettings, negotiate } from './negotiation.ts';
import { Transport } from './transport.ts';

/** Time for connecting and the negotiation in milliseconds: a server that is busy with others may make us wait. */
export const NEGOTIATION_MS = 60_000;

export interface ConnectSettings extends NegotiationSettings {
  readonly address: ServerAddress;
  /** Aborted: nobody needs the connection any more. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the attempt is given up; default {@link NEGOTIATION_MS}. */
  readonly timeout?: number;
}

export interface Connected {
  readonly transport: Transport;
  readonly negotiated: Negotiated;
}

/** Connect and negotiate. */
export function connectToExport(settings: ConnectSettings): Promise<Connected> {
  return withTransport(settings, async (transport) => ({
    transport,
    negotiated: await negotiate(transport, settings),
  }));
}

/** Run `action` on a new connection within the time there is; the connection is dropped when it fails. */
export async function withTransport<T>(
  settings: Pick<ConnectSettings, 'address' | 'signal' | 'timeout' | 'tls'>,
  action: (transport: Transport) => Promise<T>,
): Promise<T> {
  const { address, timeout = NEGOTIATION_MS, signal: outer } = settings;
  const limit = new AbortController();
  const give = (): void => limit.abort();
  const timer = setTimeout(give, timeout);
  outer?.addEventListener('abort', give, { once: true });
  if (outer?.aborted) give();
  let transport: Transport | undefined;
  try {
    const connecting = Transport.connect(address, { willUpgrade: settings.tls !== undefined, signal: limit.signal });
    transport = await connecting;
    const made = transport;
    limit.signal.addEventListener('abort', () => made.destroy(), { once: true });
    return await action(made);
  } catch (error) {
    transport?.destroy();
    if (!limit.signal.aborted) throw transport ? withContext(serverName(address), error) : error;
    if (outer?.aborted) throw new Cancelled(`connecting to '${describeAddress(address)}' was given up`);
    throw new BlockError(`${serverName(address)} did not finish the negotiation within ${timeout / 1000} s`, {
      code: 'ETIMEDOUT',
      hint: 'It may be busy with other clients',
      cause: error,
    });
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener('abort', give);
  }
}

/** The server for messages. */
export function serverName(address: ServerAddress): string {
  return `NBD server '${describeAddress(address)}'`;
}
