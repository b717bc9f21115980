/** Commit and rebase killed at any moment: the disk that a guest sees is what it was. */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { programPath } from '../support/cli.ts';
import { peersFor, qemuImg, runPeer } from '../support/peers.ts';
import { Random } from '../support/random.ts';
import { tempDir } from '../support/temp.ts';
import { start } from '../support/tracked-child.ts';

const ROUNDS = 12 * Number(process.env.BLOCKYARD_ROUNDS ?? 1);
const FILES = ['base.qcow2', 'other.qcow2', 'top.qcow2'];

/** A chain, another base, and what the chain shows. */
async function prepare(folder: string): Promise<void> {
  const at = { cwd: folder };
  const fill = async (file: string, ...commands: string[]): Promise<void> => {
    const { code } = await runPeer('qemu-io', ['-f', 'qcow2', ...commands.flatMap((each) => ['-c', each]), file], at);
    expect(code).toBe(0);
  };
  await qemuImg(['create', '-q', '-f', 'qcow2', 'base.qcow2', '64M'], at);
  await fill('base.qcow2', 'write -P 1 0 40M');
  await qemuImg(['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', 'other.qcow2', '64M'], at);
  await fill('other.qcow2', 'write -P 9 10M 40M');
  await qemuImg(['create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', 'top.qcow2'], at);
  await fill('top.qcow2', 'write -P 2 5M 20M', 'write -z 30M 5M', 'write -P 3 60M 4k');
  await qemuImg(['convert', '-O', 'raw', 'top.qcow2', 'want.raw'], at);
  for (const file of FILES) copyFileSync(join(folder, file), join(folder, `kept-${file}`));
}

const commands = [
  { name: 'commit', args: ['commit'] },
  { name: 'rebase', args: ['rebase', '-b', 'other.qcow2', '-F', 'qcow2'] },
];

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing).each(commands)('$name', ({ args }) => {
  test(`killed at ${ROUNDS} moments leaves the disk as it is`, async () => {
    const folder = tempDir();
    await prepare(folder);
    const random = new Random(ROUNDS);
    for (let round = 0; round < ROUNDS; round++) {
      for (const file of FILES) copyFileSync(join(folder, `kept-${file}`), join(folder, file));
      const running = start(process.execPath, [programPath('img'), ...args, join(folder, 'top.qcow2')]);
      await new Promise((resolve) => setTimeout(resolve, random.between(80, 600)));
      await running.end('SIGKILL');
      const compared = await runPeer('qemu-img', ['compare', '-q', 'top.qcow2', 'want.raw'], { cwd: folder });
      expect({ round, code: compared.code }).toEqual({ round, code: 0 });
      for (const file of FILES) {
        const { code } = await runPeer('qemu-img', ['check', '-q', file], { cwd: folder });
        // 3: leaked clusters, and nothing worse.
        expect([0, 3]).toContain(code);
      }
    }
  }, 300_000);
});
