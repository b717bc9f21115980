/** Disks of the kernel: in a virtual machine, as root, where a mistake hangs nobody else. */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { programPath, runProgram } from '../../support/cli.ts';
import { tempDirForSuite } from '../../support/temp.ts';
import { findMachine, runInMachine } from '../../support/virtual-machine.ts';

/** Milliseconds; the machine is an emulated one where the processor does not help. */
const LIMIT = 15 * 60_000;

const GUEST = new URL('./kernel-disk.guest.sh', import.meta.url);
const machine = findMachine(['nbd', 'ext4', 'crc32c_generic', 'loop']);
const without = typeof machine === 'string';

const BUSY =
  "nbd: Could not connect '/dev/nbd0': Device or resource busy (It is in use; nbd -d /dev/nbd0 takes it off)";
const TAKEN =
  "nbd: '/dev/nbd0' is in use by a mounted file system, or by another program (Unmount it first; ending its server takes it off regardless)";
const OFF = ['/dev/nbd0 disconnected', 'status 0'];

/** What each section is to print. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  connect: ['status 0', '/dev/nbd0p1', '25165824', '0', '512', 'servers 1'],
  again: [BUSY, 'status 1'],
  mounted: [TAKEN, 'status 1'],
  disconnect: [...OFF, 'not connected', 'servers 0', ...OFF, 'check 0', 'same'],
  format: ['nbd: NBD device /dev/nbd0 is now connected to top.qcow2', 'status 0', 'not connected', 'check 0', 'same'],
  signal: ['status 0', 'not connected', 'same'],
  sizes: ['status 0', '0', ...OFF, 'status 0', '8192', '4096', ...OFF],
  'read-only': ['status 0', '1', '24117248', 'same', 'write 1', ...OFF, 'not connected'],
  snapshot: ['status 0', 'write 0', 'written', ...OFF, 'same'],
  rights: [
    "nbd: Could not connect '/dev/nbd0': Operation not permitted (It takes the rights of root (CAP_SYS_ADMIN))",
    'status 1',
    'not connected',
  ],
  killed: ['read 1', 'connected', BUSY, 'status 1', ...OFF, 'not connected'],
  others: [
    ...['status 0', 'same', 'status 0', 'same', '/dev/nbd1 disconnected', 'status 0'],
    ...[...OFF, 'not connected', 'servers 1'],
  ],
  theirs: ['status 0', ...OFF, 'not connected', 'same'],
  full: ['status 0', "nbd: Could not write to '/dev/nbd0': Input/output error", 'status 1', 'not connected'],
};

describe.skipIf(without)(`the kernel's disks${without ? ` (${machine})` : ''}`, () => {
  const folder = tempDirForSuite();
  let sections: ReadonlyMap<string, readonly string[]>;

  beforeAll(async () => {
    if (typeof machine === 'string') return;
    const head = `PATH=${dirname(process.execPath)}:$PATH\nNBD=${programPath('nbd')}\n`;
    const text = await runInMachine(machine, head + readFileSync(GUEST, 'utf8'), folder, LIMIT);
    sections = sectionsOf(text);
  }, LIMIT);

  test.each(Object.entries(EXPECTED))('%s', (name, lines) => {
    expect(sections.get(name)).toEqual(lines);
  });
});

describe('without such a disk', () => {
  test.each(['-c', '-d'])('%s says in one line what to do instead', async (option) => {
    const image = option === '-c' ? ['-f', 'raw', '/dev/null'] : [];
    for (const [device, what] of [
      ['/nowhere/nbd0', 'not there'],
      ['/dev/null', 'no block device'],
    ] as const) {
      const { code, stderr } = await runProgram('nbd', [option, device, ...image]);
      expect(stderr).toMatch(new RegExp(`^nbd: '${device}' is ${what} \\(.*modprobe nbd.*-k SOCKET.*\\)\n$`));
      expect(code).toBe(1);
    }
  });
});

/** Lines below each `## name`, without what the kernel says in between. */
function sectionsOf(text: string): ReadonlyMap<string, readonly string[]> {
  const sections = new Map<string, readonly string[]>();
  for (const part of text.split('## ').slice(1)) {
    const [name = '', ...lines] = part.split('\n').filter((line) => line !== '' && !/^\[ *\d+\.\d+\]/.test(line));
    sections.set(name, lines);
  }
  return sections;
}
