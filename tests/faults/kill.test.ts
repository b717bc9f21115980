/**
 * Commands killed at any moment: the disk that a guest sees is what it was (or, going back to a snapshot, what it is to
 * be), and who uses the image next finds nothing worse than leaked clusters.
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { changesOf, killedAt } from '../support/killed.ts';
import { peersFor, qemuImg, runPeer } from '../support/peers.ts';
import { Random } from '../support/random.ts';
import { tempDir } from '../support/temp.ts';

const FACTOR = Number(process.env.BLOCKYARD_ROUNDS ?? 1);
const CHAIN = ['base.qcow2', 'other.qcow2', 'top.qcow2'];
const LONE = ['disk.qcow2'];

type At = { readonly cwd: string };

async function fill(at: At, file: string, ...commands: string[]): Promise<void> {
  const { code } = await runPeer('qemu-io', ['-f', 'qcow2', ...commands.flatMap((each) => ['-c', each]), file], at);
  expect(code).toBe(0);
}

/** A chain, another base, and what the chain shows. */
async function prepareChain(at: At): Promise<void> {
  await qemuImg(['create', '-q', '-f', 'qcow2', 'base.qcow2', '64M'], at);
  await fill(at, 'base.qcow2', 'write -P 1 0 40M');
  await qemuImg(['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', 'other.qcow2', '64M'], at);
  await fill(at, 'other.qcow2', 'write -P 9 10M 40M');
  await qemuImg(['create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', 'top.qcow2'], at);
  await fill(at, 'top.qcow2', 'write -P 2 5M 20M', 'write -z 30M 5M', 'write -P 3 60M 4k');
  await qemuImg(['convert', '-O', 'raw', 'top.qcow2', 'want.raw'], at);
}

/** A disk of small clusters, so that there is much to change; with snapshots `one` and `two` where it may have some. */
async function prepareDisk(at: At, snapshots: boolean): Promise<void> {
  await qemuImg(['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', 'disk.qcow2', '64M'], at);
  await fill(at, 'disk.qcow2', 'write -P 1 0 20M');
  if (snapshots) {
    await qemuImg(['snapshot', '-c', 'one', 'disk.qcow2'], at);
    await qemuImg(['convert', '-O', 'raw', 'disk.qcow2', 'one.raw'], at);
    await fill(at, 'disk.qcow2', 'write -P 2 5M 10M');
    await qemuImg(['snapshot', '-c', 'two', 'disk.qcow2'], at);
    await qemuImg(['convert', '-O', 'raw', 'disk.qcow2', 'two.raw'], at);
  }
  await fill(at, 'disk.qcow2', 'write -P 3 12M 20M', 'write -z 40M 10M', 'write -z 1M 64k');
  await qemuImg(['convert', '-O', 'raw', 'disk.qcow2', 'want.raw'], at);
}

interface Command {
  readonly name: string;
  readonly args: readonly string[];
  readonly files: readonly string[];
  readonly rounds: number;
  prepare(at: At): Promise<void>;
  /** The image whose disk is looked at. */
  readonly image: string;
  /** What it may show then. */
  readonly shows: readonly string[];
  /** It works under the dirty bit: an image that has it is repaired by whoever opens it for writing. */
  readonly mends?: true;
  /** Snapshots that must be there whatever happens. */
  readonly snapshots?: readonly string[];
}

const chain = { files: CHAIN, rounds: 8, prepare: prepareChain, image: 'top.qcow2', shows: ['want.raw'] };
const lone = { files: LONE, rounds: 5, image: 'disk.qcow2', shows: ['want.raw'] };
const withSnapshots = { ...lone, mends: true, prepare: (at: At) => prepareDisk(at, true) } as const;
const without = { ...lone, prepare: (at: At) => prepareDisk(at, false) };

const commands: readonly Command[] = [
  { ...chain, name: 'commit', args: ['commit', 'top.qcow2'], mends: true },
  { ...chain, name: 'rebase', args: ['rebase', '-b', 'other.qcow2', '-F', 'qcow2', 'top.qcow2'] },
  { ...without, name: 'amend to version 2', args: ['amend', '-f', 'qcow2', '-o', 'compat=0.10', 'disk.qcow2'] },
  { ...without, name: 'amend of counts', args: ['amend', '-f', 'qcow2', '-o', 'refcount_bits=64', 'disk.qcow2'] },
  { ...withSnapshots, name: 'snapshot -c', args: ['snapshot', '-c', 'new', 'disk.qcow2'], snapshots: ['one', 'two'] },
  {
    ...withSnapshots,
    name: 'snapshot -a',
    args: ['snapshot', '-a', 'one', 'disk.qcow2'],
    shows: ['want.raw', 'one.raw'],
    snapshots: ['one', 'two'],
  },
  { ...withSnapshots, name: 'snapshot -d', args: ['snapshot', '-d', 'one', 'disk.qcow2'], snapshots: ['two'] },
];

describe.skipIf(peersFor('qemu-img', 'qemu-io', 'strace').missing).each(commands)('$name', (command) => {
  const rounds = Math.ceil(command.rounds * FACTOR);
  test(
    `killed at ${rounds} moments leaves the disk as it is`,
    async () => {
      const at = { cwd: tempDir() };
      await command.prepare(at);
      for (const file of command.files) copyFileSync(join(at.cwd, file), join(at.cwd, `kept-${file}`));
      const random = new Random(rounds);
      const changes = await changesOf(afresh(command, at));
      expect(changes).toBeGreaterThan(0);
      let killed = 0;
      for (let round = 0; round < rounds; round++) {
        if (await killedAt(random.between(1, changes), afresh(command, at))) killed++;
        await expectSound(command, at, round);
      }
      expect(killed).toBeGreaterThan(0);
    },
    60_000 + 15_000 * rounds,
  );
});

/** Its words, the images being as they were. */
function afresh({ files, args }: Command, { cwd }: At): ['img', ...string[]] {
  for (const file of files) copyFileSync(join(cwd, `kept-${file}`), join(cwd, file));
  return ['img', ...args.map((word) => (files.includes(word) && word === args.at(-1) ? join(cwd, word) : word))];
}

async function expectSound(command: Command, at: At, round: number): Promise<void> {
  const { image, shows, files, mends, snapshots = [] } = command;
  expect(await showsOneOf(at, image, shows), `round ${round}`).toBe(true);
  // As the next one does it who opens the image for writing.
  if (mends) await runPeer('qemu-io', ['-f', 'qcow2', '-c', 'flush', image], at);
  for (const file of files) {
    const { code, stdout } = await runPeer('qemu-img', ['check', file], at);
    // 3: leaked clusters, and nothing worse.
    expect([0, 3], `round ${round}, ${file}: ${stdout.slice(0, 1000)}`).toContain(code);
  }
  if (mends) expect(await showsOneOf(at, image, shows), `round ${round}, mended`).toBe(true);
  for (const name of snapshots) {
    await qemuImg(['convert', '-l', `snapshot.name=${name}`, '-O', 'raw', image, 'found.raw'], at);
    expect(await showsOneOf(at, 'found.raw', [`${name}.raw`]), `round ${round}, snapshot ${name}`).toBe(true);
  }
}

async function showsOneOf(at: At, image: string, wanted: readonly string[]): Promise<boolean> {
  for (const want of wanted) {
    const { code, stderr } = await runPeer('qemu-img', ['compare', '-q', image, want], at);
    expect(code, stderr).toBeLessThan(2);
    if (code === 0) return true;
  }
  return false;
}
