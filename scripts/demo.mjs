// The demo of `npm start`: make a real disk image, take it through img, and show what happens.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeDisk } from './demo-disk.mjs';
import { root } from './project.mjs';

const MIB = 1024 * 1024;
const DISK_SIZE = 128 * MIB;

/** Run the demo in a folder of its own, removed afterwards. Returns an exit status. */
export async function demo() {
  const folder = mkdtempSync(join(tmpdir(), 'blockyard-demo-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.once('SIGTERM', () => {
    remove();
    process.exit(143);
  });
  process.on('SIGINT', () => {}); // the step that runs gets it too and ends; then we tidy up
  try {
    return transcript(folder);
  } finally {
    remove();
  }
}

function transcript(folder) {
  say('Blockyard: disk images, converted, checked and compared.');
  const contents = makeDisk(join(folder, 'disk.raw'), DISK_SIZE, folder);
  say(`\nMade disk.raw, ${DISK_SIZE / MIB} MiB: ${contents}.`);

  const steps = [
    ['Convert it to qcow2, which stores only what is in use:', 'convert -p -f raw -O qcow2 disk.raw disk.qcow2'],
    ['And once more, compressed:', 'convert -p -c -f raw -O qcow2 disk.raw small.qcow2'],
    ['What is this image?', 'info small.qcow2'],
    ['Is it sound?', 'check small.qcow2'],
    ['Back to a raw disk:', 'convert -p -f qcow2 -O raw small.qcow2 back.raw'],
    ['Is it the disk we started with?', 'compare -f raw -F raw disk.raw back.raw'],
  ];
  for (const [title, command] of steps) {
    const status = step(folder, title, command.split(' '));
    if (status !== 0) {
      say(`\nimg ended with status ${status}; the demo stops here.`);
      return status;
    }
  }

  say('\nSpace on disk:');
  for (const name of ['disk.raw', 'disk.qcow2', 'small.qcow2', 'back.raw']) say(sizeLine(folder, name));
  say('\nNow with your own images:  npm start -- info FILE   or   npm start -- --help');
  return 0;
}

function step(folder, title, args) {
  say(`\n${title}\n$ img ${args.join(' ')}`);
  const begin = performance.now();
  const result = spawnSync(process.execPath, [join(root, 'bin', 'img'), ...args], { cwd: folder, stdio: 'inherit' });
  const seconds = (performance.now() - begin) / 1000;
  if (result.status === 0) say(`(${seconds.toFixed(2)} s)`);
  return result.status ?? 130;
}

function sizeLine(folder, name) {
  const path = join(folder, name);
  if (!existsSync(path)) return `  ${name.padEnd(12)} missing`;
  const { size, blocks } = statSync(path);
  const used = blocks === undefined ? size : blocks * 512;
  return `  ${name.padEnd(12)} ${mib(used)} used of ${mib(size)}`;
}

function mib(bytes) {
  return `${(bytes / MIB).toFixed(1).padStart(6)} MiB`;
}

function say(line) {
  process.stdout.write(`${line}\n`);
}
