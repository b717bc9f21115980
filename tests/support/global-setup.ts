/** Before all tests: bring the build up to date, say which peers are missing, make the folder for shared disks. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findPeer, PEERS, type Peer, peersRequired } from './peers.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

let folder: string | undefined;

export function setup(): void {
  build();
  reportMissingPeers();
  folder = mkdtempSync(join(process.env.BLOCKYARD_TMP ?? tmpdir(), 'blockyard-disks-'));
  process.env.BLOCKYARD_RUN_DIR = folder;
}

export function teardown(): void {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}

/** Tests of the programs run what is in dist/; tests of a room do not, so a failed build does not stop them. */
function build(): void {
  const args = [join(root, 'scripts', 'build.mjs'), '--no-types', '--if-needed'];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) process.stderr.write('notice: the build failed, so tests of the programs run an older one\n');
}

function reportMissingPeers(): void {
  const missing = (Object.keys(PEERS) as Peer[]).filter((peer) => findPeer(peer) === undefined);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((peer) => PEERS[peer]))].join(' ');
  const line = `not installed: ${missing.join(', ')} (Debian packages: ${packages})`;
  if (peersRequired()) throw new Error(`BLOCKYARD_REQUIRE_PEERS=1 is set, but ${line}`);
  process.stderr.write(`notice: ${line}; the tests that need them are skipped\n`);
}
