/**
 * Anything a client may ask for in any order, with jobs under way: what there is stays a graph without cycles and without
 * links to what is gone, in which all users get along, and which jobs hold no longer than they live; at the end nothing
 * is left open or locked. BLOCKYARD_ROUNDS makes more of it.
 */
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { Random, seeds } from '../../support/random.ts';
import { tempDirForSuite } from '../../support/temp.ts';
import { Client, scene } from './client.ts';
import { left, wrong } from './graph-invariants.ts';
import { RandomUser } from './random-jobs.ts';

const OPERATIONS = 600;
const dir = tempDirForSuite();

/** Commands that were done under any seed. */
const done = new Set<string>();

/** `clients` give a command each, at once, then look whether all is right. */
async function play(seed: number, clients: number): Promise<void> {
  const folder = fs.mkdtempSync(path.join(dir, 'jobs-'));
  const made = await scene();
  const { client, service } = made;
  const random = new Random(seed);
  const users: RandomUser[] = [];
  for (let n = 0; n < clients; n++) {
    const own = new Client(service);
    await own.run('qmp_capabilities');
    users.push(
      new RandomUser({ ...made, client: own }, n === 0 ? random : new Random(random.word()), {
        folder,
        mark: 'abcd'.charAt(n),
      }),
    );
  }
  await client.run('nbd-server-start', { addr: { type: 'unix', data: { path: path.join(folder, 'nbd') } } });
  for (let n = 0; n < OPERATIONS / clients; n++) {
    await Promise.all(users.map((user) => user.step()));
    expect(wrong(service.graph, service.jobs.all()), `after ${n} rounds`).toEqual([]);
  }
  for (const user of users) await user.leave();
  await Promise.resolve(made[Symbol.asyncDispose]()).catch(() => undefined);
  expect([...service.graph.nodes.keys()]).toEqual([]);
  expect(left(folder)).toEqual([]);
  for (const user of users) for (const name of user.done) done.add(name);
}

test.each(seeds(5))('any commands, with jobs (seed %i)', { timeout: 300_000 }, (seed) => play(seed, 1));

test.each(seeds(5))('any commands of several clients at once (seed %i)', { timeout: 300_000 }, (seed) => play(seed, 4));

test.skipIf(process.env.BLOCKYARD_SEED !== undefined)('all kinds of jobs were among them', () => {
  const jobs = [
    'blockdev-mirror',
    'blockdev-backup',
    'block-commit',
    'block-stream',
    'x-blockdev-amend',
    'blockdev-create',
  ];
  const verbs = ['pause', 'resume', 'cancel', 'complete', 'finalize', 'dismiss'].map((verb) => `job-${verb}`);
  const others = ['transaction', 'blockdev-snapshot', 'blockdev-snapshot-internal-sync', 'blockdev-reopen'];
  for (const name of [...jobs, ...verbs, ...others]) expect(done).toContain(name);
});
