/** Setting up a mirror of a disk in use: its filter, its permissions, and how it is taken down again. */
import { Closer } from '../../async/closer.ts';
import { defaultGranularity } from '../../bitmap/index.ts';
import type { Backend } from '../../block/backend/backend.ts';
import type { BlockGraph } from '../../block/graph/block-graph.ts';
import { moveUsers, refreshNodes } from '../../block/graph/changes.ts';
import { linksBetween } from '../../block/graph/freeze.ts';
import { infoOf } from '../../block/graph/image-info.ts';
import type { Node } from '../../block/graph/node.ts';
import { type OperationPart, operations } from '../../block/graph/operations.ts';
import { makeFilter } from '../../block/graph/own-filter.ts';
import { asking, type Holder } from '../../block/graph/refusal.ts';
import { leave, reshape, setBacking } from '../../block/graph/reshape.ts';
import type { Transaction } from '../../block/graph/transaction.ts';
import { Perm } from '../../block/permissions-bits.ts';
import { Usage } from '../../errors/block-error.ts';
import type { ErrorPolicy } from '../error-policy.ts';
import { Holdings } from '../holdings.ts';
import type { Job, JobInit } from '../job.ts';
import type { JobList } from '../job-list.ts';
import { makeJob } from '../make-job.ts';
import { belowTop, type SyncMode } from '../mirror-job.ts';
import { type CopyMode, LiveMirror, type LiveMirrorOptions } from './live-mirror.ts';
import { MirrorFilter } from './mirror-filter.ts';
import { assertReplaceable } from './replaceable.ts';

/** Settings of the job, without what it works on. */
export interface MirrorSettings {
  readonly speed?: number;
  /** Bytes, a power of two from 512 to 64 MiB; default the cluster size of the target, from 4 to 64 KiB. */
  readonly granularity?: number | undefined;
  /** Bytes; default 16 MiB. */
  readonly bufSize?: number | undefined;
  /** Default true. */
  readonly unmap?: boolean | undefined;
  readonly copyMode?: CopyMode | undefined;
  readonly onSourceError?: ErrorPolicy | undefined;
  readonly onTargetError?: ErrorPolicy | undefined;
  /** Name of the filter node; default a generated one. */
  readonly filterName?: string | undefined;
}

export interface LiveMirrorRequest extends MirrorSettings {
  /** Its users go on through the filter. */
  readonly source: Node;
  readonly target: Node;
  readonly sync: SyncMode;
  /** On completion the users of this node get the target; default those of the source. */
  readonly replaces?: Node | undefined;
  /** The target reads as zeroes all over. */
  readonly targetReadsZero?: boolean | undefined;
  /** The target gets the backing file of the source (or with sync `none` the source) where it has none. */
  readonly sourceBacking?: boolean | undefined;
}

export interface ActiveCommitRequest extends MirrorSettings {
  readonly top: Node;
  /** A layer below. */
  readonly base: Node;
  /** End when all is there, the users staying on top. */
  readonly endWhenReady?: boolean | undefined;
}

const MIN_GRANULARITY = 512;
const MAX_GRANULARITY = 64 * 1024 * 1024;
const BUF_SIZE = 16 * 1024 * 1024;

/** The job that makes `target` show what `source` shows, and keeps it so until it is completed; to be started. */
export async function liveMirror(
  jobs: JobList,
  graph: BlockGraph,
  request: LiveMirrorRequest,
  init: Partial<JobInit> = {},
): Promise<Job> {
  const { source, target, sync, replaces, sourceBacking = false } = request;
  if (source === target) throw new Usage(`node '${source.name}' cannot be mirrored to itself`);
  if (replaces) assertReplaceable(source, replaces);
  return setUp(jobs, graph, {
    type: 'mirror',
    settings: request,
    init,
    source,
    target,
    rows: { ...operations['mirror-live'], intermediate: undefined },
    options: {
      sync,
      targetReadsZero: request.targetReadsZero ?? false,
      endWhenReady: false,
      growTarget: false,
      offload: false,
    },
    // The users of the source stand on the filter, which goes.
    replaces: replaces === source ? undefined : replaces,
    sourceBacking,
  });
}

/** The job that brings what is above `base` into it; on completion the users of `top` get `base`. To be started. */
export async function activeCommit(
  jobs: JobList,
  graph: BlockGraph,
  request: ActiveCommitRequest,
  init: Partial<JobInit> = {},
): Promise<Job> {
  const { top, base, endWhenReady = false } = request;
  if (top === base) throw new Usage(`node '${top.name}' cannot be committed into itself`);
  linksBetween(top, base);
  return setUp(jobs, graph, {
    type: 'commit',
    settings: request,
    init,
    source: top,
    target: base,
    rows: operations['commit-active'],
    options: { sync: 'top', targetReadsZero: false, endWhenReady, growTarget: true, offload: true },
    replaces: undefined,
    sourceBacking: false,
  });
}

interface Plan {
  readonly type: 'mirror' | 'commit';
  readonly settings: MirrorSettings;
  readonly init: Partial<JobInit>;
  readonly source: Node;
  readonly target: Node;
  readonly rows: {
    readonly main: OperationPart;
    readonly source: OperationPart;
    readonly target: OperationPart;
    /** Present where the target is a layer below the source. */
    readonly intermediate: OperationPart | undefined;
  };
  readonly options: Pick<LiveMirrorOptions, 'sync' | 'targetReadsZero' | 'endWhenReady' | 'growTarget' | 'offload'>;
  readonly replaces: Node | undefined;
  readonly sourceBacking: boolean;
}

function setUp(jobs: JobList, graph: BlockGraph, plan: Plan): Promise<Job> {
  const { type, source: node, init } = plan;
  return makeJob(jobs, { type, node, init }, (holder, named) => build(jobs, graph, { ...plan, init: named }, holder));
}

async function build(jobs: JobList, graph: BlockGraph, plan: Plan, holder: Holder): Promise<Job> {
  const { source, target, rows, settings } = plan;
  const granularity = await granularityOf(settings.granularity, target);
  const undo = new Closer();
  const held = new Holdings(graph, holder);
  undo.push(() => held.close());
  try {
    // A layer below was opened as a backing file is; another target is for the user to open for writing.
    if (rows.intermediate) await held.makeWritable(target);
    const filter = await makeFilter(graph, {
      driver: 'mirror_top',
      name: settings.filterName,
      below: source,
      owner: holder,
      make: (file) => new MirrorFilter(file, rows.intermediate !== undefined),
    });
    const { base, ...ends } = await held.putIn(filter, (below) => takeEnds(held, { ...plan, source: below }, filter));
    const scene = { graph, plan, filter, held, ...ends };
    // At once: where a write fills a part of one of its clusters, the other part is read from there.
    const backing = plan.options.sync === 'none' ? scene.source.image : base;
    if (plan.sourceBacking && !target.backing) await setBacking(graph, target, backing);
    const body = bodyOf(scene, base, granularity);
    const made = jobs.add({ speed: settings.speed ?? 0, ...plan.init, type: plan.type, body });
    undo.push(async () => {
      made.cancel();
      await made.finished.catch(() => undefined);
    });
    holdAll(made, scene);
    const image = imageOf(filter);
    image.target = scene.target.root;
    image.observer = body;
    return made;
  } catch (error) {
    await undo.close().catch(() => undefined);
    throw error;
  }
}

/** Both ends, and what is not copied: that must stay below the source as it is. */
function takeEnds(held: Holdings, { source, target, rows, options }: Plan, filter: Node) {
  const base = rows.intermediate ? target : options.sync === 'top' ? belowTop(source) : undefined;
  if (rows.intermediate) held.freeze(filter, target);
  else if (base) held.freeze(source, base, 'needs');
  // The base of an active commit grows with it.
  const grows = rows.intermediate && target.io.size < source.io.size ? Perm.RESIZE : 0;
  // Below what the target has itself it may show the source, which is written to.
  const below = options.sync === 'none' ? { sharedBelow: Perm.WRITE | Perm.WRITE_UNCHANGED } : {};
  const into = { ...rows.target, ...below, perm: rows.target.perm | grows };
  return {
    base,
    source: held.attach(source, { role: 'source', permissions: rows.source }),
    target: held.attach(target, { role: 'target', permissions: into }),
  };
}

/** What the job has in the graph. */
interface Scene {
  readonly graph: BlockGraph;
  readonly plan: Plan;
  readonly filter: Node;
  readonly source: Backend;
  readonly target: Backend;
  readonly held: Holdings;
}

function holdAll(job: Job, { plan, filter, held, source }: Scene): void {
  const { rows } = plan;
  held.giveTo(job);
  held.hold(job, filter, 'main node', rows.main);
  if (!rows.intermediate) return;
  for (const { node } of linksBetween(source.image, plan.target)) {
    if (node !== plan.target) held.hold(job, node, 'intermediate node', rows.intermediate);
  }
}

function bodyOf(scene: Scene, base: Node | undefined, granularity: number): LiveMirror {
  const { settings, options } = scene.plan;
  const { bufSize = BUF_SIZE } = settings;
  return new LiveMirror({
    ...options,
    base,
    source: scene.source,
    target: scene.target,
    granularity,
    bufSize: bufSize === 0 ? BUF_SIZE : bufSize,
    unmap: settings.unmap ?? true,
    copyMode: settings.copyMode ?? 'background',
    onSourceError: settings.onSourceError ?? 'report',
    onTargetError: settings.onTargetError ?? 'report',
    finish: (how, catchUp) => asking(`the end of ${scene.held.holder}`, () => finish(scene, how, catchUp)),
    abandon: async () => {
      stopObserving(scene.filter);
      await scene.held.takeOut();
    },
  });
}

/** The end of a job: the last of the data, then all users at once to where they go on. */
async function finish(scene: Scene, how: 'complete' | 'settle', catchUp: () => Promise<void>): Promise<void> {
  const { graph, plan, filter, held, source } = scene;
  const isComplete = how === 'complete';
  const from = (isComplete && plan.replaces) || filter;
  // Filters may have been put on the source meanwhile.
  const below = (): Node => filter.passedOn?.node ?? source.image;
  const touched = (): Node[] => {
    if (from !== filter) assertReplaceable(source.image, from);
    return [from, filter, plan.target, below()];
  };
  const change = (transaction: Transaction): void => {
    const nodes = touched();
    // Nobody else may write to the target while the job does, and from now on others do.
    held.release();
    transaction.add({ abort: stopObserving(filter) });
    leave(transaction, filter);
    const to = isComplete ? plan.target : below();
    moveUsers(transaction, { from, to });
    // Whoever is still there: all of them where another node is replaced, and the target where it is an overlay.
    moveUsers(transaction, { from: filter, to: below() });
    refreshNodes(transaction, nodes);
  };
  const { readOnly } = source.image.modes;
  await reshape(graph, touched, change, catchUp);
  // Users who could write still can.
  if (isComplete && !readOnly) await held.giveBack({ keep: true });
}

/** The filter only passes on from now on; returns how to take that back. */
function stopObserving(filter: Node): () => void {
  const image = imageOf(filter);
  const { observer } = image;
  image.observer = undefined;
  return () => {
    image.observer = observer;
  };
}

function imageOf(filter: Node): MirrorFilter {
  if (filter.image instanceof MirrorFilter) return filter.image;
  throw new Error(`node '${filter.name}' is no mirror`);
}

async function granularityOf(wanted: number | undefined, target: Node): Promise<number> {
  if (wanted === undefined || wanted === 0) return defaultGranularity((await infoOf(target))?.clusterSize);
  if (wanted >= MIN_GRANULARITY && wanted <= MAX_GRANULARITY && Number.isInteger(Math.log2(wanted))) return wanted;
  throw new Usage(`granularity ${wanted} is not a power of two from ${MIN_GRANULARITY} to ${MAX_GRANULARITY}`);
}
