/**
 * Every operation of the table beside every other, on the same layer of a chain, on neighbouring layers and on layers
 * that have nothing to do with each other: whether they get along is what the table says, and what docs/operations.md
 * shows; a refusal names both and the node, and changes nothing.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import type { Node } from '../../../src/core/block/graph/node.ts';
import { openNode } from '../../../src/core/block/graph/open.ts';
import { type OperationName, type OperationPart, operations } from '../../../src/core/block/graph/operations.ts';
import type { NodeSpec } from '../../../src/core/block/graph/spec.ts';
import { BlockError } from '../../../src/core/errors/block-error.ts';
import { backupJob } from '../../../src/core/job/backup-job.ts';
import { commitLayers } from '../../../src/core/job/commit-job.ts';
import { createImage } from '../../../src/core/job/create-image.ts';
import type { Job } from '../../../src/core/job/job.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import { activeCommit, liveMirror } from '../../../src/core/job/mirror/start.ts';
import { stream } from '../../../src/core/job/stream-job.ts';
import { driverList } from '../../../src/drivers/index.ts';
import { tempDirForSuite } from '../../support/temp.ts';
import { ChainModel, type ModelOperation as Kind, Refused } from './operation-model.ts';

const LAYERS = 8;
const SIZE = 256 * 1024;
const USER = operations['export-writable'].image;
const PAGE = path.resolve('docs/operations.md');
const dir = tempDirForSuite();

/** What ends it, and what it is called in refusals. */
interface Begun {
  readonly name: string;
  end(): Promise<void>;
}

interface Scene {
  readonly graph: BlockGraph;
  readonly jobs: JobList;
  layer(index: number): Node;
  /** A disk beside the chain. */
  spare(name: string): Promise<Node>;
}

type Begin = (scene: Scene, at: number, id: string) => Promise<Begun>;

const users =
  (kind: Kind, parts: readonly OperationPart[]): Begin =>
  async ({ graph, layer }, at, id) => {
    const name = `the ${kind} ${id}`;
    const backends: Backend[] = [];
    try {
      for (const [index, permissions] of parts.entries()) {
        backends.push(Backend.attach(graph, layer(at - index), { user: name, permissions }));
      }
    } catch (error) {
      for (const backend of backends) await backend.close();
      throw error;
    }
    return { name, end: async () => void (await Promise.all(backends.map((each) => each.close()))) };
  };

const job =
  (type: string, start: (scene: Scene, at: number, id: string) => Promise<Job>): Begin =>
  async (scene, at, id) => {
    const made = await start(scene, at, id);
    const end = async (): Promise<void> => {
      made.cancel();
      await made.finished.catch(() => undefined);
    };
    return { name: `${type} job '${id}'`, end };
  };

async function backup({ graph, jobs }: Scene, source: Node, target: Node, id: string): Promise<Begun> {
  const made = await backupJob(jobs, { graph, source, target, sync: 'none' }, { id });
  try {
    await made.fix();
  } catch (error) {
    await made.undo();
    throw error;
  }
  return { name: `backup job '${id}'`, end: () => made.undo() };
}

const jobsByKind: Partial<Record<Kind, Begin>> = {
  'mirror-live': job('mirror', async ({ graph, jobs, layer, spare }, at, id) =>
    liveMirror(jobs, graph, { source: layer(at), target: await spare(`t${id}`), sync: 'full' }, { id }),
  ),
  'mirror-live-into': job('mirror', async ({ graph, jobs, layer, spare }, at, id) =>
    liveMirror(jobs, graph, { source: await spare(`t${id}`), target: layer(at), sync: 'full' }, { id }),
  ),
  'commit-active': job('commit', ({ graph, jobs, layer }, at, id) =>
    activeCommit(jobs, graph, { top: layer(at), base: layer(at - 2) }, { id }),
  ),
  commit: job('commit', ({ graph, jobs, layer }, at, id) =>
    commitLayers(jobs, graph, { top: layer(at), base: layer(at - 2) }, { id }),
  ),
  stream: job('stream', ({ graph, jobs, layer }, at, id) =>
    stream(jobs, graph, { top: layer(at), base: layer(at - 2) }, { id }),
  ),
  backup: async (scene, at, id) => backup(scene, scene.layer(at), await scene.spare(`t${id}`), id),
  'backup-into': async (scene, at, id) => backup(scene, await scene.spare(`t${id}`), scene.layer(at), id),
  mirror: users('mirror', [operations.mirror.source]),
  'mirror-into': users('mirror-into', [operations.mirror.target]),
  create: users('create', [operations.create.target]),
  rebase: users('rebase', [operations.rebase.image, operations.rebase.backing]),
};

const names = Object.keys(operations) as OperationName[];
const kinds: readonly Kind[] = [...names, 'mirror-into', 'mirror-live-into', 'backup-into'];

function beginOf(kind: Kind): Begin {
  const found = jobsByKind[kind];
  if (found) return found;
  const row: Readonly<Record<string, OperationPart>> = operations[kind as OperationName];
  if (!row.image) throw new Error(`how does ${kind} begin?`);
  return users(kind, [row.image]);
}

/** The place of the second relative to the first. */
const places = [
  ['same', 5, 5],
  ['above', 4, 5],
  ['below', 5, 4],
  ['apart', 5, 2],
] as const;

async function scene(): Promise<Scene & AsyncDisposable> {
  const graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
  let spec: NodeSpec | undefined;
  for (let index = 0; index < LAYERS; index++) {
    const filename = path.join(dir, `l${index}`);
    if (!fs.existsSync(filename))
      await createImage(graph, { driver: 'qcow2', fileName: filename, options: { size: SIZE } });
    const file = { driver: 'file', filename, 'node-name': `f${index}` };
    spec = { driver: 'qcow2', 'node-name': `l${index}`, file, 'read-only': false, ...(spec ? { backing: spec } : {}) };
  }
  const top = await openNode(graph, spec ?? {});
  const user = Backend.attach(graph, top, { user: "export 'e'", permissions: USER });
  return {
    graph,
    jobs: new JobList(),
    layer: (index) => graph.find(`l${index}`),
    spare: (name) => openNode(graph, { driver: 'null-co', 'node-name': name, size: SIZE }),
    async [Symbol.asyncDispose]() {
      await user.close();
      await graph.close();
    },
  };
}

/** All that a refusal must leave as it was. */
function state({ graph, jobs }: Scene): unknown {
  const nodes = [...graph.nodes.values()].map((node) => ({
    name: node.name.replace(/^#.*/, node.driver.name),
    users: [...node.parents]
      .map(({ name, parent, perm, shared, frozenBy }) =>
        [name, parent.describe().replace(/#block\d+/, ''), perm, shared, frozenBy.size].join(' '),
      )
      .sort(),
  }));
  return { nodes, jobs: jobs.all().map(({ id }) => id) };
}

/** What the table says: undefined when both may go on side by side. */
function predicted(first: Kind, at: number, second: Kind, then: number): string | undefined {
  const model = new ChainModel(LAYERS, USER);
  let begun = false;
  try {
    model.begin(first, at);
    begun = true;
    model.begin(second, then);
    return undefined;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return begun ? error.message : 'by itself';
  }
}

type Cell = 'yes' | 'no' | '–';
const found = new Map<string, Cell>();

describe.each(places)('on layers: the second %s', (place, at, then) => {
  test.each(kinds)('after %s', async (first) => {
    await using made = await scene();
    let one: Begun;
    try {
      one = await beginOf(first)(made, at, 'one');
    } catch (error) {
      // It does not get along with the user of the disk.
      expect((error as Error).message).toMatch(/export 'e'/);
      expect(predicted(first, at, first, then)).toBe('by itself');
      for (const second of kinds) found.set(`${place} ${first} ${second}`, '–');
      return;
    }
    const before = state(made);
    for (const second of kinds) {
      const expected = predicted(first, at, second, then);
      const where = `${second} at l${then} beside ${first} at l${at}`;
      let refusal: BlockError | undefined;
      try {
        const two = await beginOf(second)(made, then, 'two');
        await two.end();
      } catch (error) {
        if (!(error instanceof BlockError)) throw error;
        refusal = error;
      }
      for (const node of made.graph.nodes.values()) if (node.name === 'ttwo') await made.graph.closeIfUnused(node);
      expect(state(made), where).toEqual(before);
      if (refusal === undefined) expect(expected, where).toBeUndefined();
      else {
        expect(expected, `${where}: ${refusal.message}`).toBeDefined();
        const alone = predicted(second, then, second, then) === 'by itself';
        const word = second.replace(/-(live|active|into).*/, '');
        expect(refusal.message).toMatch(new RegExp(`${word}|the ${second} two`));
        expect(refusal.message).toContain("'two'".slice(1, -1));
        if (!alone) expect(refusal.message, where).toContain(one.name);
        expect(refusal.message).toMatch(/node '(l|#)/);
        expect(refusal.message).not.toMatch(/\n|\.$/);
      }
      found.set(`${place} ${first} ${second}`, refusal ? 'no' : 'yes');
    }
    await one.end();
  });
});

test('docs/operations.md shows it', () => {
  expect(found.size).toBe(places.length * kinds.length ** 2);
  const update = process.env.BLOCKYARD_UPDATE === '1';
  const page = pageOf();
  if (update) fs.writeFileSync(PAGE, page);
  expect(fs.readFileSync(PAGE, 'utf8')).toBe(page);
});

const HEADINGS: Readonly<Record<(typeof places)[number][0], string>> = {
  same: 'On the same layer',
  above: 'The second one layer above the first',
  below: 'The second one layer below the first',
  apart: 'On layers apart',
};

function pageOf(): string {
  const head = [
    '# Which operations go together',
    '',
    'Each operation needs permissions on the nodes it works on, and shares others; jobs also hold the links of the chain they',
    'work on. What follows from that is shown here for a chain of images under a writable export, and is made by a test that',
    'tries every pair (`src/core/block/graph/operations.ts` has the table behind it). The first operation of a row goes on',
    'while the second is asked for: `·` it may begin, `x` it is refused, with a message that names both. A dash: the first',
    'cannot be begun beside the export.',
    '',
    'Commits reach from the layer over the one below into the next, streams take in the layer below; the deeper operation of',
    'two that lie apart ends where the other does not reach. Operations with `-into` have the layer as their target.',
    '',
    ...kinds.map((kind, index) => `${index + 1}. ${kind}`),
  ];
  const signs = { yes: '·', no: 'x', '–': '–' } as const;
  const tables = places.flatMap(([place]) => [
    '',
    `## ${HEADINGS[place]}`,
    '',
    `| first | ${kinds.map((_, index) => index + 1).join(' | ')} |`,
    `|---|${kinds.map(() => '---|').join('')}`,
    ...kinds.map((first) => {
      const cells = kinds.map((second) => signs[found.get(`${place} ${first} ${second}`) ?? '–']);
      return `| ${first} | ${cells.join(' | ')} |`;
    }),
  ]);
  return `${[...head, ...tables].join('\n')}\n`;
}
