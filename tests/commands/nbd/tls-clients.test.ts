/**
 * What GnuTLS's and OpenSSL's own clients of TLS are told when they may not come in. They do not speak NBD: a relay has
 * the server begin TLS, and hands them the rest.
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { makeCertificates } from '../../support/certificates.ts';
import { startNbd } from '../../support/nbd-program.ts';
import { optionBytes, u32 } from '../../support/nbd-raw-client.ts';
import { peersFor, runPeer } from '../../support/peers.ts';
import { GREETING } from '../../support/scripted-nbd.ts';
import { tempDir, tempDirForSuite } from '../../support/temp.ts';

/** Bytes that the server says before TLS: its greeting, and the yes to STARTTLS. */
const BEFORE_TLS = GREETING.length + 20;

/** A port on which TLS begins at once. */
async function relayTo(socket: string): Promise<number> {
  const open = new Set<Socket>();
  const relay = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (client) => {
    const server = connect({ path: socket, allowHalfOpen: true });
    for (const each of [client, server]) open.add(each.on('error', () => undefined));
    server.write(Buffer.concat([u32(3), optionBytes(5, Buffer.alloc(0))]));
    server.on('readable', function begin() {
      if (server.read(BEFORE_TLS) === null) return;
      server.off('readable', begin);
      server.pipe(client);
      client.pipe(server);
      client.resume();
    });
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  onTestFinished(() => {
    relay.close();
    for (const each of open) each.destroy();
  });
  return (relay.address() as AddressInfo).port;
}

describe.skipIf(peersFor('gnutls-cli', 'openssl').missing)('clients of TLS', () => {
  const dir = join(tempDirForSuite(), 'x509');
  const disk = join(tempDirForSuite(), 'disk');
  beforeAll(async () => {
    await makeCertificates(dir, { hosts: ['127.0.0.1'] });
    writeFileSync(disk, Buffer.alloc(4096));
  });

  async function serve() {
    const object = `tls-creds-x509,id=t,dir=${dir},endpoint=server`;
    const server = await startNbd(['-t', '--object', object, '--tls-creds', 't', '--log=text', '-f', 'raw', disk]);
    return { server, port: await relayTo(server.socket) };
  }
  const ca = join(dir, 'ca-cert.pem');
  const [certificate, key] = [join(dir, 'client-cert.pem'), join(dir, 'client-key.pem')];
  const own = ['--x509certfile', certificate, '--x509keyfile', key];

  test.each([
    ['with its certificate', own, /Handshake was completed/, undefined],
    [
      'without a certificate',
      ['--priority', 'NORMAL:-VERS-TLS1.3'],
      /alert \[40\]/,
      'peer did not return a certificate',
    ],
    ['with TLS 1.1', [...own, '--priority', 'NORMAL:-VERS-ALL:+VERS-TLS1.1'], /alert \[70\]/, 'unsupported protocol'],
    [
      'without a way to know the server',
      ['--priority', 'NORMAL:-VERS-TLS1.3:-KX-ALL:+ANON-ECDH'],
      /alert \[40\]/,
      'no shared cipher',
    ],
  ])('gnutls-cli %s', async (_name, args, told, logged) => {
    const { server, port } = await serve();
    const { stdout, stderr } = await runPeer(
      'gnutls-cli',
      ['-p', `${port}`, '127.0.0.1', '--x509cafile', ca, ...args],
      {
        input: '',
      },
    );
    expect(stdout + stderr).toMatch(told);
    await expect.poll(() => server.output()).toContain('client 1 has left');
    if (logged === undefined) expect(server.output()).not.toContain('TLS with the client failed');
    else expect(server.output()).toContain(`TLS with the client failed: ${logged}`);
  });

  test('openssl with a certificate of another authority, or in an old version of TLS', async () => {
    const { server, port } = await serve();
    const strangers = await makeCertificates(join(tempDir(), 'strangers'));
    const stranger = ['-cert', join(strangers, 'client-cert.pem'), '-key', join(strangers, 'client-key.pem')];
    for (const [args, told] of [
      [[...stranger, '-tls1_2'], /unexpected eof/],
      [['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'], /alert protocol version/],
    ] as const) {
      const connection = ['s_client', '-connect', `127.0.0.1:${port}`, ...args];
      expect((await runPeer('openssl', connection, { input: '' })).stderr).toMatch(told);
    }
    await expect.poll(() => server.output()).toMatch(/client 2 has left: TLS with the client failed/);
    expect(server.output()).toMatch(
      /client 1 has left: TLS with the client failed: its certificate is refused \([A-Z_]+\)\n/,
    );
    expect(server.output()).not.toContain('uses export');
  });
});
