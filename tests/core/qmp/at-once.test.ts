/**
 * Several clients change one disk at once, jobs end when they like, and the guest that uses it must not notice: none of its
 * requests fails, and it reads what it has written, also from the files once all is closed. BLOCKYARD_ROUNDS makes more of it.
 */
import { expect, test } from 'vitest';
import type { NodeSpec } from '../../../src/core/block/graph/spec.ts';
import { Perm } from '../../../src/core/block/permissions-bits.ts';
import { createImage } from '../../../src/core/job/create-image.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import { BlockService } from '../../../src/core/qmp/index.ts';
import { Random, seeds } from '../../support/random.ts';
import { Spy } from '../../support/spy-driver.ts';
import { KiB, liveDisk } from '../job/live.ts';
import { BusyClient } from './at-once.ts';
import { left, wrong } from './graph-invariants.ts';

const CLIENTS = ['a', 'b', 'c', 'd', 'e'];
const ROUNDS = 40;
const DISK = 256 * KiB;

/** Commands that were done under any seed. */
const done = new Set<string>();

test.each(seeds(6))('a disk that several clients change at once (seed %i)', { timeout: 300_000 }, async (seed) => {
  const pace = new Random(seed);
  // Requests take their time, so that what waits for their end meets others that do.
  const hold = async (): Promise<void> => {
    for (let turns = pace.below(5); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
  };
  const wrap = (file: NodeSpec): NodeSpec => ({ driver: 'spy', file });
  const disk = await liveDisk({ sizes: [DISK, DISK, DISK], seed, wrap, drivers: [new Spy({ hold }).entry()] });
  // What is no part of the disk any more, as a layer that was committed, must not be committed into it once more.
  disk.user.setPermissions({ perm: Perm.CONSISTENT_READ | Perm.WRITE, shared: Perm.ALL & ~Perm.WRITE });
  await createImage(disk.graph, { driver: 'qcow2', fileName: disk.file('spare'), options: { size: DISK } });
  const service = new BlockService({
    graph: disk.graph,
    jobs: new JobList(),
    version: { qemu: { major: 10, minor: 0, micro: 0 }, package: 'test' },
    quit: () => undefined,
  });
  const random = new Random(seed);
  const clients = CLIENTS.map((prefix) => new BusyClient(service, disk, { random: new Random(random.word()), prefix }));
  for (const client of clients) await client.begin();
  let stop = false;
  let failure: unknown;
  const guest = (async () => {
    for (; !stop; await new Promise((resolve) => setImmediate(resolve))) await disk.step();
  })().catch((error: unknown) => {
    failure = error;
  });
  const faults = () => [...wrong(service.graph, service.jobs.all()), ...(failure === undefined ? [] : [failure])];
  for (let round = 0; round < ROUNDS; round++) {
    await Promise.all(clients.map((client) => client.step()));
    expect(faults(), `after ${round} rounds`).toEqual([]);
  }
  stop = true;
  await guest;
  expect(Buffer.compare(await disk.content(), disk.model)).toBe(0);
  for (const client of clients) for (const name of client.done) done.add(name);
  await disk.user.close();
  await service.close();
  expect(left(disk.folder)).toEqual([]);
});

test.skipIf(process.env.BLOCKYARD_SEED !== undefined)('all that changes a graph was among it', () => {
  const jobs = ['block-commit', 'block-stream', 'drive-mirror', 'drive-backup', 'job-complete'];
  const filters = ['x-blockyard-insert-filter', 'x-blockyard-remove-filter'];
  const others = ['blockdev-snapshot-sync', 'transaction', 'blockdev-reopen', 'blockdev-add', 'blockdev-del'];
  for (const name of [...jobs, ...filters, ...others]) expect(done).toContain(name);
});
