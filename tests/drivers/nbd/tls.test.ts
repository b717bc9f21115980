/** TLS against servers that speak it with GnuTLS. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { makeCertificates, makeKeys } from '../../support/certificates.ts';
import { imgHere } from '../../support/img-here.ts';
import { startNbdkit, startQemuNbd } from '../../support/nbd-servers.ts';
import { peersFor } from '../../support/peers.ts';
import { tempDir, tempDirForSuite } from '../../support/temp.ts';

const peers = peersFor('qemu-nbd', 'nbdkit', 'openssl');

/** `img info` of an export with credentials. */
function info(server: { readonly socket: string }, objects: readonly string[], options: readonly string[] = []) {
  const file = ['driver=raw', 'file.driver=nbd', 'file.server.type=unix', `file.server.path=${server.socket}`];
  return imgHere([
    'info',
    ...objects.flatMap((object) => ['--object', object]),
    '--image-opts',
    [...file, ...options].join(','),
  ]);
}

function disk(): string {
  const file = join(tempDir(), 'disk');
  writeFileSync(file, Buffer.alloc(1 << 20, 7));
  return file;
}

describe.skipIf(peers.missing)('TLS of the client', () => {
  const root = tempDirForSuite();
  const dir = join(root, 'x509');
  const keys = join(root, 'psk');
  beforeAll(async () => {
    await makeCertificates(dir);
    makeKeys(keys, ['qemu', 'alice']);
  });

  const clientX509 = (more = '') => `tls-creds-x509,id=tls0,dir=${dir},endpoint=client${more}`;
  const serverX509 = () => [
    '--object',
    `tls-creds-x509,id=tls0,dir=${dir},endpoint=server,verify-peer=on`,
    '--tls-creds',
    'tls0',
  ];

  test('certificates of both ends, with qemu-nbd', async () => {
    const server = await startQemuNbd([...serverX509(), '-f', 'raw', disk()]);
    const result = await info(server, [clientX509()], ['file.tls-creds=tls0', 'file.tls-hostname=localhost']);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toContain('virtual size: 1 MiB');
  });

  test('certificates of both ends, with nbdkit', async () => {
    const server = await startNbdkit([
      '--tls=require',
      `--tls-certificates=${dir}`,
      '--tls-verify-peer',
      'memory',
      '1M',
    ]);
    const result = await info(server, [clientX509()], ['file.tls-creds=tls0', 'file.tls-hostname=localhost']);
    expect(result).toMatchObject({ code: 0, stderr: '' });
  });

  test.each(['', ',priority=NORMAL:-VERS-TLS1.3', ',priority=NORMAL:-VERS-TLS1.2'])(
    'a shared key %s',
    async (priority) => {
      const object = ['--object', `tls-creds-psk,id=tls0,dir=${keys},endpoint=server`, '--tls-creds', 'tls0'];
      const server = await startQemuNbd([...object, '-f', 'raw', disk()]);
      const mine = `tls-creds-psk,id=tls0,dir=${keys},endpoint=client,username=alice${priority}`;
      expect(await info(server, [mine], ['file.tls-creds=tls0'])).toMatchObject({ code: 0, stderr: '' });
      const kit = await startNbdkit(['--tls=require', `--tls-psk=${join(keys, 'keys.psk')}`, 'memory', '1M']);
      expect(await info(kit, [mine], ['file.tls-creds=tls0'])).toMatchObject({ code: 0, stderr: '' });
    },
  );

  test('without any certificate, anonymously', async () => {
    const object = ['--object', 'tls-creds-anon,id=tls0,endpoint=server', '--tls-creds', 'tls0'];
    const server = await startQemuNbd([...object, '-f', 'raw', disk()]);
    const result = await info(server, ['tls-creds-anon,id=tls0,endpoint=client'], ['file.tls-creds=tls0']);
    expect(result).toMatchObject({ code: 0, stderr: '' });
  });
});
