/** What must not come about: connections without TLS, to the wrong server, by the wrong client. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Option, OptionReply } from '../../../src/core/nbd/index.ts';
import { makeCertificates, makeKeys } from '../../support/certificates.ts';
import { imgHere } from '../../support/img-here.ts';
import { startNbdkit, startQemuNbd } from '../../support/nbd-servers.ts';
import { peersFor } from '../../support/peers.ts';
import { optionReply, scriptedServer } from '../../support/scripted-nbd.ts';
import { tempDir, tempDirForSuite } from '../../support/temp.ts';

function info(server: { readonly socket: string }, object: string | undefined, ...options: string[]) {
  const file = ['driver=raw', 'file.driver=nbd', 'file.server.type=unix', `file.server.path=${server.socket}`];
  const objects = object === undefined ? [] : ['--object', object];
  return imgHere(['info', ...objects, '--image-opts', [...file, ...options].join(',')]);
}

/** One line that names what is wrong, and nothing else. */
async function refused(outcome: ReturnType<typeof info>, why: RegExp): Promise<void> {
  const { code, stdout, stderr } = await outcome;
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(why);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
}

describe.skipIf(peersFor('qemu-nbd', 'nbdkit', 'openssl').missing)('a client with TLS', () => {
  const root = tempDirForSuite();
  const [dir, other, keys, wrongKeys] = ['own', 'other', 'psk', 'psk2'].map((name) => join(root, name)) as [
    string,
    string,
    string,
    string,
  ];
  beforeAll(async () => {
    await makeCertificates(dir, { hosts: ['server.example.com', '127.0.0.1'] });
    await makeCertificates(other);
    makeKeys(keys);
    makeKeys(wrongKeys, ['x', 'qemu']);
  });

  function server(credentials = dir, more: readonly string[] = []) {
    const disk = join(tempDir(), 'disk');
    writeFileSync(disk, Buffer.alloc(1 << 20));
    const object = `tls-creds-x509,id=t,dir=${credentials},endpoint=server`;
    return startQemuNbd(['--object', object, '--tls-creds', 't', ...more, '-f', 'raw', disk]);
  }
  const client = (credentials = dir, more = '') => `tls-creds-x509,id=t,dir=${credentials},endpoint=client${more}`;
  const withCreds = 'file.tls-creds=t';
  const named = 'file.tls-creds=t,file.tls-hostname=server.example.com';

  test('a server that insists on TLS is told of by its name', async () => {
    await refused(info(await server(), undefined), /the server insists on TLS.*tls-creds=ID/);
  });

  test('a server without TLS is not used in plain text', async () => {
    await refused(
      info(await startNbdkit(['memory', '1M']), client(), named),
      /TLS is not (allowed|supported) by the server/,
    );
    await refused(info(await startNbdkit(['-o', 'memory', '1M']), client(), named), /does not support TLS/);
  });

  test('another authority, another name, another key', async () => {
    await refused(info(await server(other), client(), named), /TLS with the server failed: /);
    await refused(
      info(await server(), client(), withCreds, 'file.tls-hostname=elsewhere.example.com'),
      /elsewhere\.example\.com/,
    );
    const kit = await startNbdkit(['--tls=require', `--tls-psk=${join(keys, 'keys.psk')}`, 'memory', '1M']);
    await refused(
      info(kit, `tls-creds-psk,id=t,dir=${wrongKeys},endpoint=client`, named),
      /TLS with the server failed: /,
    );
  });

  test('no name that the certificate should be for', async () => {
    await refused(
      info(await server(), client(), withCreds),
      /no name that the server's certificate should be for.*tls-hostname/,
    );
  });

  test('names and addresses that the certificate is for, and none where it is not looked at', async () => {
    for (const name of ['server.example.com', '127.0.0.1']) {
      expect(await info(await server(), client(), withCreds, `file.tls-hostname=${name}`)).toMatchObject({
        code: 0,
        stderr: '',
      });
    }
    const careless = client(other, ',verify-peer=off');
    const kit = await startNbdkit(['--tls=require', `--tls-certificates=${dir}`, 'memory', '1M']);
    expect(await info(kit, careless, withCreds, 'file.tls-hostname=any')).toMatchObject({ code: 0, stderr: '' });
  });

  test('a server that wants a certificate and gets none, or a wrong one', async () => {
    const kit = () => startNbdkit(['--tls=require', `--tls-certificates=${dir}`, '--tls-verify-peer', 'memory', '1M']);
    const mixed = join(root, 'mixed');
    await makeCertificates(mixed);
    const { copyFileSync, mkdirSync } = await import('node:fs');
    const bare = join(root, 'bare');
    mkdirSync(bare, { recursive: true });
    for (const folder of [bare, mixed]) copyFileSync(join(dir, 'ca-cert.pem'), join(folder, 'ca-cert.pem'));
    await refused(info(await kit(), client(bare), named), /connection|TLS/);
    await refused(info(await kit(), client(mixed, ',sanity-check=off'), named), /connection|TLS/);
    await refused(
      info(await kit(), client(mixed), named),
      /client-cert\.pem' holds a certificate that none of ca-cert\.pem has signed/,
    );
  });

  test('what a server says in plain text after agreeing to TLS is not listened to', async () => {
    const injected = optionReply(Option.EXTENDED_HEADERS, OptionReply.ACK);
    const forged = await scriptedServer({
      option: (option) =>
        option === Option.STARTTLS ? Buffer.concat([optionReply(option, OptionReply.ACK), injected]) : undefined,
    });
    await refused(info(forged, client(), named), /sent 20 bytes in plain text after it agreed to TLS/);
    expect(forged.log).toEqual(['option 5']);
  });

  test('credentials that are for the other end, not there, or of no use', async () => {
    const target = { socket: join(root, 'none') };
    await refused(
      info(target, `tls-creds-x509,id=t,dir=${dir},endpoint=server`, named),
      /are for a server.*endpoint=client/,
    );
    await refused(info(target, undefined, named), /there is no set of credentials for TLS 't'/);
    await refused(info(target, `secret,id=t,data=x`, named), /of the type secret/);
    await refused(info(target, client(join(root, 'nowhere')), named), /could not read '.*nowhere\/ca-cert\.pem'/);
    await refused(
      info(target, client(dir, ',priority=NORMAL:+VERS-SSL3.0'), named),
      /'\+VERS-SSL3\.0' is not supported/,
    );
    await refused(
      info(target, `tls-creds-psk,id=t,dir=${keys},endpoint=client,username=nobody`, named),
      /has no key of user 'nobody'/,
    );
    await refused(info(target, undefined, 'file.tls-hostname=x'), /'tls-hostname' needs 'tls-creds'/);
  });

  test('certificates that have expired, and keys with a password', async () => {
    const [expired, locked] = [join(root, 'expired'), join(root, 'locked')];
    await makeCertificates(expired, { days: -1 });
    await makeCertificates(locked, { password: 'sesame', hosts: ['server.example.com'] });
    await refused(info({ socket: '/none' }, client(expired), named), /client-cert\.pem' has expired/);
    await refused(info({ socket: '/none' }, client(locked), named), /password/);
    const kit = await startNbdkit(['--tls=require', `--tls-certificates=${dir}`, 'memory', '1M']);
    const objects = [
      '--object',
      'secret,id=s,data=sesame',
      '--object',
      client(locked, ',passwordid=s,verify-peer=off'),
    ];
    const options = `driver=raw,file.driver=nbd,file.path=${kit.socket},${named}`;
    expect(await imgHere(['info', ...objects, '--image-opts', options])).toMatchObject({ code: 0, stderr: '' });
  });
});
