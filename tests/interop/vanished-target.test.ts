/**
 * Jobs whose target is an NBD server that dies in the middle: they end or stop by their policy, and clients go on. Where
 * they stop, the target has a reconnect-delay: without one, a server that was lost stays lost.
 */
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { runProgram } from '../support/cli.ts';
import { peerOutput, peersFor, qemuImg } from '../support/peers.ts';
import { StorageDaemon } from '../support/storage-daemon.ts';
import { tempDir } from '../support/temp.ts';
import { type Running, startPeer, until } from '../support/tracked-child.ts';

const MiB = 1024 * 1024;

async function server(socket: string, file: string): Promise<Running> {
  rmSync(socket, { force: true });
  const running = startPeer('nbdkit', ['-f', '-U', socket, 'file', file]);
  await until(
    () => existsSync(socket),
    20_000,
    () => `nbdkit does not start: ${running.output()}`,
  );
  return running;
}

const jobs = [
  ['blockdev-mirror', { 'copy-mode': 'background' }],
  ['blockdev-mirror', { 'copy-mode': 'write-blocking' }],
  ['blockdev-backup', {}],
] as const;

const missing = peersFor('nbdkit', 'qemu-img', 'qemu-io').missing;

describe.skipIf(missing).each(jobs)('%s %o', (command, args) => {
  test.each(['report', 'stop'] as const)('on-target-error=%s', { timeout: 60_000 }, async (policy) => {
    const dir = tempDir();
    const at = (name: string): string => path.join(dir, name);
    await qemuImg(['create', '-q', '-f', 'raw', at('target'), '8M']);
    await qemuImg(['create', '-q', '-f', 'qcow2', at('disk'), '8M']);
    await peerOutput('qemu-io', ['-f', 'qcow2', '-c', 'write -P 1 0 8M', at('disk')]);
    let nbdkit = await server(at('sock'), at('target'));
    const daemon = await StorageDaemon.start(dir, [
      ...[
        '--blockdev',
        JSON.stringify({ driver: 'qcow2', 'node-name': 'disk', file: { driver: 'file', filename: at('disk') } }),
      ],
      ...[
        '--blockdev',
        JSON.stringify({
          driver: 'nbd',
          'node-name': 'far',
          server: { type: 'unix', path: at('sock') },
          'reconnect-delay': policy === 'stop' ? 1 : 0,
        }),
      ],
      ...['--export', 'nbd,id=e,node-name=disk,name=disk,writable=on'],
    ]);
    const io = (...commands: string[]) =>
      peerOutput('qemu-io', ['-f', 'raw', ...commands.flatMap((each) => ['-c', each]), daemon.uri('disk')]);
    const common = { 'job-id': 'j', device: 'disk', target: 'far', sync: 'full', speed: 4 * MiB };
    await daemon.run(command, { ...common, ...args, 'on-target-error': policy });
    await io('write -P 2 0 64k');
    await nbdkit.end('SIGKILL');
    if (policy === 'report') {
      const { data } = await daemon.event('BLOCK_JOB_COMPLETED');
      expect(data).toMatchObject({ device: 'j', error: expect.any(String) });
      const nodes = await daemon.run<{ drv: string }[]>('query-named-block-nodes', { flat: true });
      expect(nodes.map(({ drv }) => drv).sort()).toEqual(['file', 'nbd', 'qcow2']);
    } else {
      await daemon.reached('j', 'paused');
      const [job] = await daemon.run<object[]>('query-block-jobs');
      expect(job).toMatchObject({ 'io-status': 'failed', paused: true });
    }
    // A backup that cannot save what a write changes fails the write, and no other.
    const writable = command === 'blockdev-mirror' || policy === 'report';
    if (writable) await io('write -P 3 1M 64k');
    await io('read -P 2 0 64k');
    if (policy === 'stop') {
      nbdkit = await server(at('sock'), at('target'));
      await daemon.run('job-resume', { id: 'j' });
      await daemon.run('block-job-set-speed', { device: 'j', speed: 0 });
      if (command === 'blockdev-mirror') {
        await daemon.event('BLOCK_JOB_READY');
        await io('write -P 4 2M 64k');
        await daemon.run('block-job-cancel', { device: 'j' });
      }
      const { data } = await daemon.event('BLOCK_JOB_COMPLETED');
      expect(data).not.toHaveProperty('error');
    }
    await daemon.quit();
    const { code, stdout } = await runProgram('img', ['check', at('disk')]);
    expect(code, stdout).toBe(0);
    if (policy === 'stop' && command === 'blockdev-mirror') {
      await peerOutput('qemu-img', ['compare', '-f', 'qcow2', '-F', 'raw', at('disk'), at('target')]);
    }
    await nbdkit.end('SIGTERM');
  });
});
