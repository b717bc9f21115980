/**
 * Credentials that are certificates: `ca-cert.pem`, `ca-crl.pem`, `server-cert.pem`, `server-key.pem`,
 * `client-cert.pem`, `client-key.pem`, `dh-params.pem` in one folder.
 */
import type { Socket } from 'node:net';
import tls from 'node:tls';
import { BlockError } from '../errors/block-error.ts';
import { checkCertificates } from './tls-certificate.ts';
import type { TlsCredentials, TlsEndpoint } from './tls-credentials.ts';
import { type CredentialFolder, credentialFile, optionalFile } from './tls-files.ts';
import { clientHandshake, serverHandshake } from './tls-handshake.ts';
import { distinguishedName } from './tls-name.ts';
import { readPriority, type TlsPriority, withLevel } from './tls-priority.ts';

export interface X509Settings extends CredentialFolder {
  readonly id: string;
  readonly endpoint: TlsEndpoint;
  /** The other end has to show a certificate of the same authority. */
  readonly verifyPeer: boolean;
  readonly priority: string | undefined;
  /** Password of the private key. */
  readonly password: string | undefined;
  /** Look now at what would make every handshake fail: dates, purposes, signatures. */
  readonly sanityCheck: boolean;
}

interface Loaded {
  readonly ca: Buffer;
  readonly context: tls.SecureContextOptions;
}

/** Read and check the files. @throws BlockError that names the file. */
export async function x509Credentials(settings: X509Settings): Promise<TlsCredentials> {
  const { id, endpoint } = settings;
  const priority = readPriority(settings.priority, settings.what);
  const { context } = await load(settings, priority);
  return {
    id,
    endpoint,
    client:
      endpoint === 'client' ? { upgrade: (socket, name) => connect(socket, { context, settings, name }) } : undefined,
    server: endpoint === 'server' ? { upgrade: (socket) => accept(socket, context, settings) } : undefined,
  };
}

async function load(settings: X509Settings, priority: TlsPriority): Promise<Loaded> {
  const { dir, what, endpoint, password, sanityCheck } = settings;
  const ca = await credentialFile(settings, 'ca-cert.pem');
  const crl = await optionalFile(settings, 'ca-crl.pem');
  const read = endpoint === 'server' ? credentialFile : optionalFile;
  const cert = await read(settings, `${endpoint}-cert.pem`);
  const key = await read(settings, `${endpoint}-key.pem`);
  if ((cert === undefined) !== (key === undefined)) {
    const missing = cert === undefined ? 'cert' : 'key';
    throw new BlockError(`${what}: '${dir}' has no ${endpoint}-${missing}.pem to go with the other`, {
      code: 'ENOENT',
    });
  }
  const dhparam = endpoint === 'server' ? await optionalFile(settings, 'dh-params.pem') : undefined;
  if (sanityCheck) checkCertificates({ dir, what, endpoint, ca, cert });
  const context: tls.SecureContextOptions = {
    ca,
    ...(crl ? { crl } : {}),
    ...(cert && key ? { cert, key } : {}),
    ...(password === undefined ? {} : { passphrase: password }),
    ...(dhparam ? { dhparam } : {}),
    minVersion: priority.minVersion,
    maxVersion: priority.maxVersion,
    ...(priority.securityLevel === undefined ? {} : { ciphers: withLevel(tls.DEFAULT_CIPHERS, priority) }),
  };
  try {
    tls.createSecureContext(context);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const hint = /bad decrypt|password|interrupted or cancelled/i.test(why)
      ? 'The private key may need a password (passwordid=SECRET)'
      : undefined;
    throw new BlockError(`${what}: the files in '${dir}' cannot be used: ${shortReason(why)}`, {
      ...(hint ? { hint } : {}),
      cause: error,
    });
  }
  return { ca, context };
}

/** The last part of a line such as `error:1C800064:Provider routines::bad decrypt`. */
function shortReason(message: string): string {
  return message.replace(/^error:[0-9A-F]+:[^:]*::?/i, '');
}

async function connect(
  socket: Socket,
  { context, settings, name }: { context: tls.SecureContextOptions; settings: X509Settings; name: string | undefined },
): Promise<tls.TLSSocket> {
  if (settings.verifyPeer) demandName(name);
  return clientHandshake(socket, {
    ...context,
    rejectUnauthorized: settings.verifyPeer,
    ...nameOptions(name),
  });
}

/** A certificate that is good for any server of the same authority proves little: whose it should be must be known. */
export function demandName(name: string | undefined): void {
  if (name !== undefined) return;
  throw new BlockError("there is no name that the server's certificate should be for", {
    hint: 'Give it with tls-hostname=NAME',
  });
}

/** For the name in the handshake, which is never an address, and for the one that the certificate is checked for. */
export function nameOptions(name: string | undefined): tls.ConnectionOptions {
  return {
    ...(name === undefined || /^[\d.]+$|:/.test(name) ? {} : { servername: name }),
    checkServerIdentity: (_host, certificate) =>
      name === undefined ? undefined : tls.checkServerIdentity(name, certificate),
  };
}

async function accept(
  socket: Socket,
  context: tls.SecureContextOptions,
  { verifyPeer }: X509Settings,
): Promise<{ readonly socket: tls.TLSSocket; readonly identity: string | undefined }> {
  const options = { ...context, requestCert: verifyPeer, rejectUnauthorized: verifyPeer };
  const secured = await serverHandshake(socket, options);
  const certificate = verifyPeer ? secured.getPeerX509Certificate() : undefined;
  return { socket: secured, identity: certificate && distinguishedName(certificate) };
}
