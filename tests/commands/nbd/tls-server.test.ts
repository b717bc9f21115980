/** Our server under TLS: whom it lets in, and whom not. Clients are those of GnuTLS, OpenSSL and QEMU. */

import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { makeCertificates, makeKeys } from '../../support/certificates.ts';
import { programPath, runProgram } from '../../support/cli.ts';
import { imgHere } from '../../support/img-here.ts';
import { isListening } from '../../support/listening.ts';
import { startQemuNbd } from '../../support/nbd-servers.ts';
import { peerOutput, peersFor, runPeer } from '../../support/peers.ts';
import { GREETING } from '../../support/scripted-nbd.ts';
import { tempDir, tempDirForSuite } from '../../support/temp.ts';

const peers = peersFor('qemu-img', 'nbdinfo', 'nbdcopy', 'openssl');

describe.skipIf(peers.missing)('nbd --tls-creds', () => {
  const root = tempDirForSuite();
  const [dir, strangers, keys] = ['own', 'strangers', 'psk'].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  const disk = join(root, 'disk');
  beforeAll(async () => {
    await makeCertificates(dir, { client: 'laptop', hosts: ['localhost'] });
    await makeCertificates(strangers);
    makeKeys(keys, ['alice', 'bob']);
    writeFileSync(disk, Buffer.alloc(1 << 20, 6));
  });

  /** Start ours on a unix socket, with objects and options. */
  async function start(
    objects: readonly string[],
    more: readonly string[] = [],
  ): Promise<{ socket: string; child: ChildProcess }> {
    const socket = join(tempDir(), 'nbd');
    const args = [
      '-t',
      '-e',
      '0',
      '-r',
      '-k',
      socket,
      ...objects.flatMap((object) => ['--object', object]),
      '--tls-creds',
      't',
      ...more,
    ];
    const child = spawn(process.execPath, [programPath('nbd'), ...args, '-f', 'raw', disk], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr?.on('data', (text: Buffer) => {
      stderr += text.toString();
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    while (!isListening(socket)) {
      if (child.exitCode !== null) throw new Error(`nbd ended at once: ${stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return { socket, child };
  }
  const x509 = (more = '') => `tls-creds-x509,id=t,dir=${dir},endpoint=server${more}`;
  const uri = (socket: string, credentials = dir, more = '') =>
    `nbds+unix:///?socket=${socket}&tls-certificates=${credentials}&tls-hostname=localhost${more}`;
  const qemuInfo = (socket: string, object: string) =>
    runPeer('qemu-img', [
      'info',
      '--object',
      object,
      '--image-opts',
      `driver=raw,file.driver=nbd,file.path=${socket},file.tls-creds=c,file.tls-hostname=localhost`,
    ]);

  test('nbdinfo, nbdcopy and qemu-img with certificates come in', async () => {
    const { socket } = await start([x509()]);
    expect(await peerOutput('nbdinfo', [uri(socket)])).toMatch(/protocol: newstyle-fixed with TLS/);
    const copy = join(tempDir(), 'copy');
    await peerOutput('nbdcopy', [uri(socket), copy]);
    expect(await peerOutput('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', copy, disk])).toContain('identical');
    expect(await qemuInfo(socket, `tls-creds-x509,id=c,dir=${dir},endpoint=client`)).toMatchObject({
      code: 0,
      stderr: '',
    });
    const ours = ['--object', `tls-creds-x509,id=c,dir=${dir},endpoint=client`, '--image-opts'];
    expect(
      await imgHere([
        'info',
        ...ours,
        `driver=raw,file.driver=nbd,file.path=${socket},file.tls-creds=c,file.tls-hostname=localhost`,
      ]),
    ).toMatchObject({ code: 0 });
  });

  test('without TLS nobody comes in, and the server serves the next', async () => {
    const { socket } = await start([x509()]);
    const plain = await runPeer('nbdinfo', [`nbd+unix:///?socket=${socket}`]);
    expect(plain.code).not.toBe(0);
    expect((await imgHere(['info', `nbd+unix:///?socket=${socket}`])).stderr).toMatch(/insists on TLS/);
    expect((await runPeer('nbdinfo', [uri(socket)])).code).toBe(0);
  });

  test('with --tls-optional both come in, but under TLS none without a certificate', async () => {
    const { socket } = await start([x509()], ['--tls-optional']);
    expect(await peerOutput('nbdinfo', [`nbd+unix:///?socket=${socket}`])).toMatch(
      /protocol: newstyle-fixed without TLS/,
    );
    expect(await peerOutput('nbdinfo', [uri(socket)])).toMatch(/protocol: newstyle-fixed with TLS/);
    expect((await runPeer('nbdinfo', [uri(socket, strangers, '&tls-verify-peer=false')])).code).not.toBe(0);
    const { code, stderr } = await runProgram('nbd', ['--tls-optional', disk]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: "nbd: option '--tls-optional' needs --tls-creds\n" });
  });

  test('without a certificate, or with a stranger, nobody comes in', async () => {
    const { socket } = await start([x509()]);
    expect((await runPeer('nbdinfo', [uri(socket, strangers, '&tls-verify-peer=false')])).code).not.toBe(0);
    expect((await qemuInfo(socket, `tls-creds-x509,id=c,dir=${strangers},endpoint=client,verify-peer=off`)).code).toBe(
      1,
    );
    expect((await runPeer('nbdinfo', [uri(socket)])).code).toBe(0);
  });

  test.each([
    ['C=GB,O=Example,CN=laptop', true],
    ['C=GB,O=Example,CN=other', false],
  ])('authz-simple for %s', async (identity, allowed) => {
    const { socket } = await start(
      [x509(), `authz-simple,id=z,identity=${identity.replaceAll(',', ',,')}`],
      ['--tls-authz', 'z'],
    );
    expect((await runPeer('nbdinfo', [uri(socket)])).code === 0).toBe(allowed);
  });

  test('a name with commas and quotes is spelt as for qemu-nbd', async () => {
    const odd = await makeCertificates(join(tempDir(), 'odd'), { client: 'lap"top, 2' });
    const objects = [
      `tls-creds-x509,id=t,dir=${odd},endpoint=server`,
      'authz-simple,id=z,identity=C=GB,,O=Example,,CN=lap\\"top\\,, 2',
    ];
    const theirs = await startQemuNbd([
      ...objects.flatMap((object) => ['--object', object]),
      ...['--tls-creds', 't', '--tls-authz', 'z', '-r', '-f', 'raw', disk],
    ]);
    const { socket } = await start(objects, ['--tls-authz', 'z']);
    for (const each of [theirs.socket, socket])
      expect(await runPeer('nbdinfo', [uri(each, odd)])).toMatchObject({ code: 0 });
  });

  test('authz-list decides by the first rule that fits, authz-list-file also after it has changed', async () => {
    const rules =
      'rules.0.match=*CN=bad*,rules.0.policy=deny,rules.0.format=glob,rules.1.match=*O=Example*,rules.1.policy=allow,rules.1.format=glob';
    const list = await start([x509(), `authz-list,id=z,${rules}`], ['--tls-authz', 'z']);
    expect((await runPeer('nbdinfo', [uri(list.socket)])).code).toBe(0);
    const file = join(tempDir(), 'rules.json');
    writeFileSync(file, JSON.stringify({ policy: 'deny', rules: [] }));
    const { socket } = await start([x509(), `authz-list-file,id=z,filename=${file}`], ['--tls-authz', 'z']);
    expect((await runPeer('nbdinfo', [uri(socket)])).code).not.toBe(0);
    writeFileSync(file, JSON.stringify({ rules: [{ match: 'C=GB,O=Example,CN=laptop', policy: 'allow' }] }));
    expect((await runPeer('nbdinfo', [uri(socket)])).code).toBe(0);
    writeFileSync(file, 'no json');
    expect((await runPeer('nbdinfo', [uri(socket)])).code).not.toBe(0);
  });

  test.each(['', ',priority=NORMAL:-VERS-TLS1.3', ',priority=NORMAL:-VERS-TLS1.2'])(
    'a shared key %s',
    async (priority) => {
      const { socket } = await start([`tls-creds-psk,id=t,dir=${keys},endpoint=server${priority}`]);
      const psk = (user: string) => `nbds+unix://${user}@/?socket=${socket}&tls-psk-file=${join(keys, 'keys.psk')}`;
      expect(await runPeer('nbdinfo', [psk('alice')])).toMatchObject({ code: 0 });
      expect(await qemuInfo(socket, `tls-creds-psk,id=c,dir=${keys},endpoint=client,username=bob`)).toMatchObject({
        code: 0,
      });
      const wrong = makeKeys(join(tempDir(), 'psk'), ['x', 'y', 'alice']);
      expect((await qemuInfo(socket, `tls-creds-psk,id=c,dir=${wrong},endpoint=client,username=alice`)).code).toBe(1);
      expect((await runPeer('nbdinfo', [psk('alice')])).code).toBe(0);
    },
  );

  test('a shared key with authorisation by user name', async () => {
    const { socket } = await start(
      [`tls-creds-psk,id=t,dir=${keys},endpoint=server`, 'authz-simple,id=z,identity=alice'],
      ['--tls-authz', 'z'],
    );
    const psk = (user: string) =>
      runPeer('nbdinfo', [`nbds+unix://${user}@/?socket=${socket}&tls-psk-file=${join(keys, 'keys.psk')}`]);
    expect((await psk('alice')).code).toBe(0);
    expect((await psk('bob')).code).not.toBe(0);
  });

  test('anonymously, with qemu-img', async () => {
    const { socket } = await start(['tls-creds-anon,id=t,endpoint=server']);
    expect(await qemuInfo(socket, 'tls-creds-anon,id=c,endpoint=client')).toMatchObject({ code: 0, stderr: '' });
  });

  /** Greeting, STARTTLS and what comes with it in one go; resolves with all that the server says until it closes. */
  function afterStartTls(socket: string, more: Buffer): Promise<Buffer> {
    const starttls = Buffer.concat([Buffer.from('IHAVEOPT'), Buffer.from([0, 0, 0, 5, 0, 0, 0, 0])]);
    return new Promise((resolve) => {
      const client = connect(socket);
      const said: Buffer[] = [];
      client.on('data', (bytes: Buffer) => said.push(bytes));
      client.on('close', () => resolve(Buffer.concat(said)));
      client.on('error', () => undefined);
      client.write(Buffer.concat([Buffer.from([0, 0, 0, 3]), starttls, more]));
    });
  }

  test('what a client sends in plain text after STARTTLS is not listened to', async () => {
    const { socket } = await start([x509()]);
    const list = Buffer.concat([Buffer.from('IHAVEOPT'), Buffer.from([0, 0, 0, 3, 0, 0, 0, 0])]);
    const said = await afterStartTls(socket, list);
    // The greeting, at most the yes to STARTTLS and an alert: nothing about exports.
    expect(said.subarray(0, GREETING.length).equals(GREETING)).toBe(true);
    expect(said.length).toBeLessThan(GREETING.length + 20 + 10);
    expect((await runPeer('nbdinfo', [uri(socket)])).code).toBe(0);
  });

  test('a client that leaves in the middle of the handshake makes room for the next', async () => {
    const { socket } = await start([x509()], ['-e', '1', '--handshake-limit', '0']);
    const client = connect(socket);
    client.write(
      Buffer.concat([Buffer.from([0, 0, 0, 3]), Buffer.from('IHAVEOPT'), Buffer.from([0, 0, 0, 5, 0, 0, 0, 0])]),
    );
    // Once the yes to STARTTLS is there.
    let said = 0;
    client.on('data', (bytes: Buffer) => {
      said += bytes.length;
      if (said === GREETING.length + 20) client.end();
    });
    expect(await runPeer('nbdinfo', ['--size', uri(socket)])).toMatchObject({ code: 0 });
  });

  test('a client of TLS that does not speak NBD first is turned away', async () => {
    const { socket } = await start([x509()]);
    const { code } = await runPeer('openssl', ['s_client', '-unix', socket], { input: 'x' });
    expect(code).not.toBe(0);
    expect((await runPeer('nbdinfo', [uri(socket)])).code).toBe(0);
  });

  test('credentials or authorisation that are not there are said at the start', async () => {
    await expect(start([`tls-creds-x509,id=t,dir=${dir},endpoint=client`])).rejects.toThrow(
      /are for a client.*endpoint=server/,
    );
    await expect(start([x509()], ['--tls-authz', 'none'])).rejects.toThrow(/'none'/);
    await expect(start([x509()], ['--tls-authz', 't'])).rejects.toThrow(/of the type tls-creds-x509/);
  });
});
