/** The same commands to qemu-storage-daemon: the same answers, as far as they are not about who answers. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { programPath } from '../../support/cli.ts';
import { findPeer, peersFor } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';

const PEER = findPeer('qemu-storage-daemon');

type Answer = Readonly<Record<string, unknown>>;

/** Commands and what of their answers is compared; of an error that it is one, and its class. */
const script: readonly (readonly [command: object, members?: readonly string[]])[] = [
  [{ execute: 'qmp_capabilities' }],
  [{ execute: 'qmp_capabilities' }],
  [{ execute: 'no-such-command' }],
  [{ execute: 'query-block' }],
  [{ execute: 'query-block-exports' }],
  [{ execute: 'query-jobs' }],
  [{ execute: 'blockdev-add', arguments: { driver: 'null-co', 'node-name': 'n', size: 1048576, 'read-zeroes': true } }],
  [{ execute: 'blockdev-add', arguments: { driver: 'null-co', 'node-name': 'n' } }],
  [{ execute: 'blockdev-add', arguments: { driver: 'null-co', 'node-name': 'm', size: 'x' } }],
  [{ execute: 'blockdev-add', arguments: { driver: 'raw', 'node-name': 'r', file: 'n', 'read-only': true } }],
  [
    { execute: 'query-named-block-nodes', arguments: { flat: true } },
    ['node-name', 'drv', 'ro', 'backing_file_depth', 'detect_zeroes', 'write_threshold', 'cache', 'encrypted'],
  ],
  [{ execute: 'blockdev-del', arguments: { 'node-name': 'n' } }],
  [{ execute: 'blockdev-del', arguments: { 'node-name': 'none' } }],
  [
    {
      execute: 'blockdev-reopen',
      arguments: { options: [{ driver: 'raw', 'node-name': 'r', file: 'n', offset: 512, 'read-only': true }] },
    },
  ],
  [{ execute: 'block-dirty-bitmap-add', arguments: { node: 'n', name: 'b', granularity: 4096 } }],
  [{ execute: 'block-dirty-bitmap-add', arguments: { node: 'n', name: 'b' } }],
  [{ execute: 'x-debug-block-dirty-bitmap-sha256', arguments: { node: 'n', name: 'b' } }],
  [
    {
      execute: 'transaction',
      arguments: {
        actions: [
          { type: 'block-dirty-bitmap-disable', data: { node: 'n', name: 'b' } },
          { type: 'abort', data: {} },
        ],
      },
    },
  ],
  [{ execute: 'object-add', arguments: { 'qom-type': 'throttle-group', id: 'g', limits: { 'iops-total': 100 } } }],
  [{ execute: 'object-add', arguments: { 'qom-type': 'throttle-group', id: 'g' } }],
  [{ execute: 'qom-get', arguments: { path: '/objects/g', property: 'x-iops-total' } }],
  [{ execute: 'qom-get', arguments: { path: '/objects/g', property: 'type' } }],
  [{ execute: 'qom-get', arguments: { path: '/objects', property: 'type' } }],
  [{ execute: 'qom-get', arguments: { path: '/objects', property: 'none' } }],
  [{ execute: 'qom-list', arguments: { path: '/objects' } }, ['name', 'type']],
  [{ execute: 'qom-list', arguments: { path: '/objects/g' } }, ['name', 'type']],
  [{ execute: 'qom-list-properties', arguments: { typename: 'throttle-group' } }, ['name', 'type']],
  [{ execute: 'qom-list-properties', arguments: { typename: 'iothread' } }, ['name', 'type']],
  [{ execute: 'qom-list-properties', arguments: { typename: 'none' } }],
  [{ execute: 'qom-get', arguments: { path: '/objects/none', property: 'type' } }],
  [{ execute: 'qom-list', arguments: { path: '/objects/none' } }],
  [{ execute: 'qom-set', arguments: { path: '/objects/g', property: 'x-iops-total', value: 5 } }],
  [{ execute: 'object-del', arguments: { id: 'g' } }],
  [{ execute: 'object-del', arguments: { id: 'g' } }],
  [{ execute: 'blockdev-add', arguments: { driver: 'null-co', 'node-name': 'c' } }],
  [
    {
      execute: 'blockdev-add',
      arguments: {
        driver: 'quorum',
        'node-name': 'q',
        children: [{ driver: 'null-co' }, { driver: 'null-co' }],
        'vote-threshold': 1,
      },
    },
  ],
  [{ execute: 'x-blockdev-change', arguments: { parent: 'q', child: 'children.1' } }],
  [{ execute: 'x-blockdev-change', arguments: { parent: 'q', child: 'children.1' } }],
  [{ execute: 'x-blockdev-change', arguments: { parent: 'q', node: 'c' } }],
  // It has the number of the one that went last.
  [{ execute: 'x-blockdev-change', arguments: { parent: 'q', child: 'children.1' } }],
  [{ execute: 'blockdev-del', arguments: { 'node-name': 'q' } }],
  [{ execute: 'blockdev-del', arguments: { 'node-name': 'c' } }],
  [{ execute: 'job-pause', arguments: { id: 'none' } }],
  [{ execute: 'block-job-pause', arguments: { device: 'none' } }],
  [{ execute: 'nbd-server-stop' }],
  [{ execute: 'block-export-del', arguments: { id: 'none' } }],
  [{ execute: 'blockdev-del', arguments: { 'node-name': 'r' } }],
  [{ execute: 'blockdev-del', arguments: { 'node-name': 'n' } }],
  [{ execute: 'query-named-block-nodes' }],
  [{ execute: 'quit' }],
];

function talk(command: string, args: readonly string[], cwd: string): Promise<Answer[]> {
  const child = spawn(command, [...args, '--chardev', 'stdio,id=c', '--monitor', 'chardev=c'], { cwd });
  child.stdin.end(script.map(([each], id) => JSON.stringify({ ...each, id })).join('\n'));
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => {
      const lines = text.split('\r\n').filter((line) => line !== '');
      resolve(lines.map((line) => JSON.parse(line) as Answer).filter((each) => 'id' in each));
    });
  });
}

const nameOf = (item: Answer): string => String(item['node-name'] ?? item.name);

/** What is compared of an answer. */
function essence(answer: Answer | undefined, members: readonly string[] | undefined): unknown {
  const error = answer?.error as { class: string } | undefined;
  if (error) return `error ${error.class}`;
  const value = answer?.return;
  if (!members || !Array.isArray(value)) return value;
  const items = value as Answer[];
  return items
    .map((item) => Object.fromEntries(members.map((name) => [name, item[name]])))
    .sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
}

describe.skipIf(peersFor('qemu-storage-daemon').missing)('beside qemu-storage-daemon', () => {
  test('the same script has the same answers', async () => {
    const cwd = tempDir();
    const link = path.join(cwd, 'qemu-storage-daemon');
    fs.symlinkSync(programPath('nbd'), link);
    const ours = await talk(process.execPath, [link], cwd);
    const theirs = await talk(PEER ?? '', [], cwd);
    const told = (answers: readonly Answer[]) =>
      script.map(([command, members], id) => ({
        command: JSON.stringify(command),
        answer: essence(
          answers.find((each) => each.id === id),
          members,
        ),
      }));
    expect(told(ours)).toEqual(told(theirs));
  });
});
