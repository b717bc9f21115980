/** Folders of credentials for TLS, made when a test needs them, under the names that QEMU's tools expect. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { peerOutput } from './peers.ts';

export interface CertificateOptions {
  /** Common name of the client; the whole name is `C=GB, O=Example, CN=…`. */
  readonly client?: string;
  /** Names the server's certificate is for. */
  readonly hosts?: readonly string[];
  /** Password of the private keys. */
  readonly password?: string;
  /** Days that the certificates of server and client are valid; negative for ones that have expired. */
  readonly days?: number;
}

/** Make `dir` with an authority, a server and a client: what either end needs. */
export async function makeCertificates(dir: string, options: CertificateOptions = {}): Promise<string> {
  const { client = 'laptop.example.com', hosts = ['localhost'], password, days = 30 } = options;
  mkdirSync(dir, { recursive: true });
  await authority(dir);
  const names = hosts.map((host) => (/^[\d.]+$/.test(host) ? `IP:${host}` : `DNS:${host}`)).join(',');
  await leaf(dir, 'server', { subject: `/C=GB/O=Example/CN=${hosts[0]}`, days, password, usage: 'serverAuth', names });
  await leaf(dir, 'client', { subject: `/C=GB/O=Example/CN=${client}`, days, password, usage: 'clientAuth' });
  return dir;
}

async function authority(dir: string): Promise<void> {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const files = ['-keyout', join(dir, 'ca-key.pem'), '-out', join(dir, 'ca-cert.pem')];
  const usage = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
  await openssl(['req', '-x509', ...key, '-days', '30', '-subj', '/CN=Test authority', ...files, ...usage]);
}

interface Leaf {
  readonly subject: string;
  readonly days: number;
  readonly password: string | undefined;
  readonly usage: string;
  readonly names?: string;
}

async function leaf(dir: string, name: string, { subject, days, password, usage, names }: Leaf): Promise<void> {
  const path = (file: string): string => join(dir, file);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  const protection = password === undefined ? ['-nodes'] : ['-passout', `pass:${password}`];
  const request = ['-keyout', path(`${name}-key.pem`), '-out', path(`${name}.csr`)];
  await openssl(['req', ...key, ...protection, '-subj', subject, ...request]);
  const lines = ['basicConstraints=critical,CA:FALSE', `extendedKeyUsage=${usage}`];
  writeFileSync(path(`${name}.ext`), [...lines, ...(names ? [`subjectAltName=${names}`] : [])].join('\n'));
  const signer = ['-CA', path('ca-cert.pem'), '-CAkey', path('ca-key.pem'), '-CAcreateserial'];
  const files = ['-in', path(`${name}.csr`), '-out', path(`${name}-cert.pem`), '-extfile', path(`${name}.ext`)];
  await openssl(['x509', '-req', ...signer, ...files, '-days', String(days)]);
  chmodSync(path(`${name}-key.pem`), 0o600);
}

async function openssl(args: readonly string[]): Promise<void> {
  await peerOutput('openssl', args);
}

/** Make `dir` with a key for each user. */
export function makeKeys(dir: string, users: readonly string[] = ['qemu']): string {
  mkdirSync(dir, { recursive: true });
  const keys = users.map((user, index) => `${user}:${Buffer.alloc(32, index + 1).toString('hex')}\n`);
  writeFileSync(join(dir, 'keys.psk'), keys.join(''), { mode: 0o600 });
  return dir;
}
