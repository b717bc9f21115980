/** Two processes on one image: ours and QEMU's keep out of each other's way, by the same locks. */

import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { img, imgOutput, programPath } from '../support/cli.ts';
import { isListening } from '../support/listening.ts';
import { peersFor, qemuImg, qemuImgCheck, runPeer } from '../support/peers.ts';
import { Random } from '../support/random.ts';
import { tempDir } from '../support/temp.ts';
import { type Running, start, startPeer, until } from '../support/tracked-child.ts';

const MIB = 1024 * 1024;
const LOCKED = /lock/i;

const peers = peersFor('qemu-img', 'qemu-io', 'qemu-nbd');

interface Holder {
  readonly name: string;
  hold(image: string, folder: string): Promise<Running>;
}

const holders: readonly Holder[] = [
  {
    name: 'qemu-io',
    async hold(image) {
      const running = startPeer('qemu-io', ['-f', 'qcow2', '-c', 'write 0 64k', '-c', 'sleep 60000', image]);
      const before = statSync(image).size;
      // Its output comes late, through a pipe; the file grows when it is written to.
      await until(
        () => statSync(image).size > before,
        10_000,
        () => `qemu-io did not write: ${running.output()}`,
      );
      return running;
    },
  },
  {
    name: 'qemu-nbd',
    async hold(image, folder) {
      const socket = join(folder, 'nbd.sock');
      const running = startPeer('qemu-nbd', ['-f', 'qcow2', '-k', socket, '-t', image]);
      await until(
        () => isListening(socket),
        10_000,
        () => `qemu-nbd made no socket: ${running.output()}`,
      );
      return running;
    },
  },
];

describe.skipIf(peers.missing).each(holders)('an image that $name holds open for writing', ({ hold }) => {
  test('is refused, also as the target or for reading, and read all the same with -U', async () => {
    const folder = tempDir();
    const image = join(folder, 'disk.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', image, '4M']);
    const other = join(folder, 'other.raw');
    writeFileSync(other, Buffer.alloc(4 * MIB, 1));
    await hold(image, folder);
    const refused = [
      ['info', image],
      ['check', image],
      ['map', image],
      ['compare', image, other],
      ['convert', '-O', 'raw', image, join(folder, 'copy.raw')],
      ['convert', '-f', 'raw', '-n', '-O', 'qcow2', other, image],
      ['convert', '-f', 'raw', '-O', 'qcow2', other, image],
    ];
    for (const args of refused) {
      const { code, stderr } = await img(args);
      expect(code, args.join(' ')).toBe(args[0] === 'compare' ? 2 : 1);
      expect(stderr, args.join(' ')).toMatch(LOCKED);
      expect(stderr.trim().split('\n').length, stderr).toBeLessThanOrEqual(2);
    }
    await imgOutput(['info', '-U', image]);
    await imgOutput(['check', '-U', image]);
    await imgOutput(['map', '-U', image]);
    await imgOutput(['convert', '-U', '-O', 'raw', image, join(folder, 'shared.raw')]);
    expect(statSync(join(folder, 'shared.raw')).size).toBe(4 * MIB);
  });
});

describe.skipIf(peers.missing)('an image that we hold', () => {
  test('as the target of a conversion is refused by QEMU, and by us', async () => {
    const folder = tempDir();
    const { running, target } = await slowConversion(folder);
    const wanted = ['info', 'check'].map((word) => ['qemu-img', [word, target]] as const);
    for (const [peer, args] of [...wanted, ['qemu-io', ['-f', 'qcow2', '-c', 'read 0 512', target]] as const]) {
      const { code, stderr } = await runPeer(peer, args);
      expect(code, `${peer} ${args.join(' ')}`).not.toBe(0);
      expect(stderr).toMatch(/lock/);
    }
    expect(await img(['check', target])).toMatchObject({ code: 1, stderr: expect.stringMatching(LOCKED) });
    await qemuImg(['info', '-U', target]);
    await imgOutput(['info', '-U', target]);
    expect(running.child.exitCode).toBe(null);
  });

  test('as the source of a conversion can be read but not written by QEMU', async () => {
    const folder = tempDir();
    const { source } = await slowConversion(folder);
    await qemuImg(['info', '-f', 'raw', source]);
    const { code, stderr } = await runPeer('qemu-io', ['-f', 'raw', '-c', 'write 0 512', source]);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/lock/);
  });
});

describe.skipIf(peers.missing)('a conversion that is', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)(
    'ended by %s leaves with 128 + signal, no lock and a sound image',
    async (signal) => {
      const folder = tempDir();
      const { running, target } = await slowConversion(folder);
      const { code } = await running.end(signal);
      expect(code, running.output()).toBe(signal === 'SIGINT' ? 130 : 143);
      expect(running.output()).not.toMatch(/internal error|\n\s+at /);
      await expectSoundAndFree(target);
      expect(childrenOf(running.child.pid ?? 0)).toEqual([]);
    },
  );

  test('killed leaves an image that opens', async () => {
    const folder = tempDir();
    const { running, target } = await slowConversion(folder);
    expect(await running.end('SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' });
    await expectSoundAndFree(target);
  });
});

/** Leaks are allowed, damage and locks are not. */
async function expectSoundAndFree(target: string): Promise<void> {
  await imgOutput(['info', target]);
  expect([0, 3], 'our check').toContain((await img(['check', target])).code);
  expect([0, 3], 'their check').toContain((await qemuImgCheck(target)).code);
  const write = await runPeer('qemu-io', ['-f', 'qcow2', '-c', 'write 0 64k', target]);
  expect(write, 'a writer after it').toMatchObject({ code: 0 });
}

/** A conversion with a speed limit, which would take a minute; returns when the target is being written to. */
async function slowConversion(folder: string): Promise<{ running: Running; source: string; target: string }> {
  const source = join(folder, 'source.raw');
  const target = join(folder, 'target.qcow2');
  writeFileSync(source, new Random(3).bytes(8 * MIB));
  truncateSync(source, 64 * MIB);
  // All but the beginning is zero, so -S 0 makes the rest data too.
  const args = ['convert', '-f', 'raw', '-O', 'qcow2', '-S', '0', '-r', '1M', source, target];
  const running = start(process.execPath, [programPath('img'), ...args]);
  const isUnderWay = () => existsSync(target) && statSync(target).size > 2 * MIB;
  await until(
    () => isUnderWay() || running.child.exitCode !== null,
    15_000,
    () => `the conversion did not get going: ${running.output()}`,
  );
  if (!isUnderWay()) throw new Error(`the conversion ended: ${running.output()}`);
  return { running, source, target };
}

/** Processes whose parent was `pid`. */
function childrenOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
  } catch {
    return [];
  }
}
