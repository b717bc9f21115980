/**
 * Who we are and whom we trust under TLS: credentials as `--object tls-creds-…` defines them.
 *
 * Either end of a connection that agreed on TLS hands its socket here and gets one back that speaks through it. All
 * about certificates, keys and ciphers is known on this side only.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** Which end of a connection credentials are for. */
export type TlsEndpoint = 'client' | 'server';

/** Credentials for the end that connects. */
export interface TlsClient {
  /**
   * Put TLS on a connected socket that nobody reads from.
   * @param hostname name the server's certificate must be for; undefined when there is none to check
   * @throws BlockError when the two do not come to terms; the socket is of no use then.
   */
  upgrade(socket: Socket, hostname: string | undefined): Promise<TLSSocket>;
}

/** Credentials for the end that was connected to. */
export interface TlsServer {
  /**
   * Put TLS on a socket that nobody reads from.
   * @throws BlockError when the client does not prove itself; the socket is destroyed then.
   */
  upgrade(socket: Socket): Promise<TlsPeer>;
}

/** A client that has proved itself. */
export interface TlsPeer {
  readonly socket: TLSSocket;
  /** Who it is, for authorisation: the distinguished name of its certificate, or its user name; undefined for nobody. */
  readonly identity: string | undefined;
}

/** An object of a command line that TLS can use. */
export interface TlsCredentials {
  readonly id: string;
  readonly endpoint: TlsEndpoint;
  /** Undefined when these are for the other end. */
  readonly client: TlsClient | undefined;
  readonly server: TlsServer | undefined;
}
