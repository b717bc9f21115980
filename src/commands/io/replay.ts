/** `io replay`: issue the requests of a trace again, on another image or another machine, and compare. */

import type { Backend } from '../../core/block/backend/backend.ts';
import { cacheModeNames } from '../../core/block/backend/cache-mode.ts';
import { Flag } from '../../core/block/driver.ts';
import { BlockGraph } from '../../core/block/graph/block-graph.ts';
import { Perm } from '../../core/block/permissions-bits.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { OffsetMap } from '../../core/trace/offset-map.ts';
import type { TraceOp } from '../../core/trace/record.ts';
import { type ReplayResult, type ReplayTarget, replay as runReplay } from '../../core/trace/replay.ts';
import { TraceSource } from '../../core/trace/source.ts';
import { Verifier } from '../../core/trace/verifier.ts';
import { driverList } from '../../drivers/index.ts';
import { type Io, userLines, warn } from '../cli/io.ts';
import { addObjects, OBJECT_OPTION } from '../cli/object-value.ts';
import { PROGRESS_OPTION, startProgress } from '../cli/progress.ts';
import { command } from '../cli/record.ts';
import { REFS_OPTION } from '../cli/refs-option.ts';
import { changedBase, LAX_BASE_OPTION } from '../cli/strict-base-option.ts';
import { TRACE_OPTION, traceFile } from '../cli/trace-option.ts';
import { integerValue } from '../cli/values.ts';
import { cacheWord } from './commands/open.ts';
import { diskFlags } from './disk-flags.ts';
import { defaultModes, type OpenModes, openImage } from './open-image.ts';
import { exportFio } from './replay-export.ts';
import { onlyValue, speedValue, WRITEBACK } from './replay-options.ts';
import { printReport, type ReplayReport } from './replay-report.ts';

export const replay = command({
  name: 'replay',
  summary: 'Issue the requests of a trace again and compare how long they take',
  description: [
    'TRACE is a trace of ours (--trace, or the driver trace), an I/O log of fio (version 2 or 3) or the text of ' +
      "blkparse, compressed by gzip or zstd or not at all; '-' reads standard input.",
    'Requests are issued in the recorded order: at the recorded times, or with --asap as soon as those have ended ' +
      'that had ended before in the recording. A request never overtakes another on the same bytes when one of them ' +
      'changes these, so that the image ends up the same each time.',
    'A trace has no data. What is written is made of --seed, the number of the write in the trace and the offset, so that ' +
      '--verify knows what must be read; what no write of this replay has touched may hold anything.',
    'The exit status is 1 when a request failed that had not failed in the recording, or when a check did.',
  ],
  arguments: {
    trace: { name: 'TRACE', help: 'The trace' },
    file: { name: 'IMAGE', optional: true, help: 'Image that the requests go to; with --export-fio none is needed' },
  },
  options: {
    format: { short: 'f', long: 'format', value: 'FMT', help: 'Format of the image', conflicts: ['imageOpts'] },
    imageOpts: { long: 'image-opts', help: 'IMAGE is a list of options (driver=…,file.filename=…), not a name' },
    objects: OBJECT_OPTION,
    cache: {
      short: 't',
      long: 'cache',
      value: 'MODE',
      parse: cacheWord,
      offers: cacheModeNames,
      help: 'Cache mode: none, writeback, writethrough, directsync or unsafe (default: writeback)',
    },
    ...diskFlags,
    forceShare: { short: 'U', long: 'force-share', help: 'Share the image with programs that write to it' },
    refs: REFS_OPTION,
    strictBase: LAX_BASE_OPTION,
    speed: {
      long: 'speed',
      value: 'N',
      parse: speedValue,
      default: '1',
      help: 'So many times as fast as recorded',
      conflicts: ['asap'],
    },
    asap: { long: 'asap', help: 'As fast as possible, with the recorded order and overlap' },
    depth: {
      long: 'depth',
      value: 'N',
      parse: integerValue(1, 65536),
      help: 'Most requests under way; by default 1024, or 1 for a trace that does not tell when requests ended',
    },
    only: {
      long: 'only',
      value: 'KINDS',
      parse: onlyValue,
      help: 'Only these, comma separated: reads, writes, zeroes, discards, flushes, truncates',
    },
    mapOffset: {
      long: 'map-offset',
      value: 'RULE',
      repeat: true,
      help: 'Where requests go: +SIZE, -SIZE, modulo, or FROM:LENGTH:TO, which may be repeated and leaves out all else',
    },
    node: { long: 'node', value: 'NAME', help: 'Node of the trace whose requests are issued (default: the first)' },
    seed: {
      long: 'seed',
      value: 'N',
      parse: integerValue(0, 0xffffffff),
      default: '0',
      help: 'What the content of writes is made of',
    },
    verify: { long: 'verify', help: 'Check what is read, and read everything back in the end' },
    check: {
      long: 'check',
      help: 'Issue nothing: check that the image holds what an earlier replay has left there',
      conflicts: ['verify', 'exportFio', 'plot'],
    },
    output: {
      long: 'output',
      value: 'human|json',
      choices: ['human', 'json'],
      default: 'human',
      help: 'How to print the result',
    },
    plot: { long: 'plot', value: 'FILE', help: 'Draw latencies, and offsets over time, into this SVG file' },
    exportFio: {
      long: 'export-fio',
      value: 'FILE',
      help: 'Write the requests as an I/O log of fio, named after IMAGE, and issue none',
      conflicts: ['verify', 'plot', 'asap'],
    },
    progress: PROGRESS_OPTION,
    quiet: { short: 'q', long: 'quiet', help: 'Print errors only' },
    trace: TRACE_OPTION,
  },
  examples: [
    ['io replay disk.jsonl copy.qcow2', 'At the recorded times'],
    ['io replay --asap --verify --plot=run.svg disk.jsonl copy.raw', 'As fast as it goes, checked, with a picture'],
    ['io replay --export-fio disk.fio disk.jsonl /dev/sdx', 'For fio --read_iolog=disk.fio'],
  ],
  async run({ arguments: { trace, file }, options }, io) {
    const source = new TraceSource(trace);
    const map = OffsetMap.parse(options.mapOffset, "option '--map-offset'");
    if (options.exportFio !== undefined) {
      await exportFio(source, { ...options, map, to: options.exportFio, image: file }, io);
      return 0;
    }
    if (file === undefined) throw new Usage('an IMAGE is needed, unless there is --export-fio');
    await using graph = new BlockGraph({
      drivers: driverList,
      references: options.refs,
      changedBase: changedBase(options.strictBase, 'warn-certain'),
      ...userLines(io),
    });
    await addObjects(graph, options.objects, io.signal);
    const request = { name: file, format: options.format, imageOpts: options.imageOpts };
    const opened = await openImage(graph, request, modesOf(options, io));
    let report: ReplayReport;
    try {
      report = await replayOn(opened.backend, { source, map, options }, io);
    } catch (error) {
      await opened.close().catch(() => undefined);
      throw error;
    }
    await opened.close();
    return await conclude(report, options, io);
  },
});

interface Options {
  readonly cache: OpenModes['cache'] | undefined;
  readonly discard: boolean | undefined;
  readonly aio: string | undefined;
  readonly forceShare: boolean;
  readonly speed: number;
  readonly asap: boolean;
  readonly depth: number | undefined;
  readonly only: ReadonlySet<TraceOp> | undefined;
  readonly node: string | undefined;
  readonly seed: number;
  readonly verify: boolean;
  readonly check: boolean;
  readonly output: 'human' | 'json';
  readonly plot: string | undefined;
  readonly progress: 'human' | 'json' | undefined;
  readonly quiet: boolean;
  readonly trace: string | undefined;
}

const CHANGING: readonly TraceOp[] = ['write', 'zero', 'discard', 'truncate'];

function modesOf(options: Options, io: Io): OpenModes {
  const { only, check, cache = WRITEBACK, discard, aio, forceShare } = options;
  const changes = !check && CHANGING.some((op) => only?.has(op) ?? true);
  return {
    ...defaultModes,
    readOnly: !changes,
    cache,
    unmap: discard ?? defaultModes.unmap,
    aio,
    forceShare,
    traceFile: options.trace === undefined ? undefined : traceFile(options.trace, io),
  };
}

/** Failures that are told one by one; of further ones there is just the count. */
const TOLD = 5;
const DEFAULT_DEPTH = 1024;

interface Work {
  readonly source: TraceSource;
  readonly map: OffsetMap;
  readonly options: Options;
}

async function replayOn(backend: Backend, { source, map, options }: Work, io: Io): Promise<ReplayReport> {
  let told = 0;
  const tell = (line: string): void => {
    if (told++ < TOLD) io.stderr.write(`${io.programName}: ${line}\n`);
  };
  const verifier = options.verify || options.check ? new Verifier(options.seed, tell) : undefined;
  const progress = await startProgress(io, { mode: options.progress, quiet: options.quiet, phase: 'replay' });
  const { position } = source;
  let result: ReplayResult;
  try {
    result = await runReplay({
      target: targetOf(backend),
      requests: source.requests(),
      pace: options.asap ? { mode: 'asap' } : { mode: 'timed', speed: options.speed },
      depth: (request) => options.depth ?? (request.end === undefined ? 1 : DEFAULT_DEPTH),
      seed: options.seed,
      map,
      only: options.only,
      node: options.node,
      verifier,
      pretend: options.check,
      signal: io.signal,
      onProgress: () => progress.update(position.done, position.total),
      onError: tell,
    });
    if (verifier) {
      progress.phase('verify');
      await verifier.readBack((offset, buf) => backend.read(offset, buf), io.signal);
    }
    progress.finish();
  } finally {
    progress[Symbol.dispose]();
  }
  warnings(source, options, io);
  return { ...result, verified: verifier?.result, source };
}

/** What the replay cannot know: the trace may lack something, or hold what was not asked for. */
function warnings(source: TraceSource, options: Options, io: Io): void {
  const { incomplete, parser } = source;
  if (incomplete !== undefined) warn(io, `trace '${source.path}': ${incomplete}`);
  const names = [...(parser?.nodes.keys() ?? [])];
  if (options.node !== undefined && !names.includes(options.node)) {
    throw new Usage(
      `trace '${source.path}' has no node '${options.node}', only ${names.map((name) => `'${name}'`).join(', ')}`,
    );
  }
  if (options.node === undefined && names.length > 1) {
    const [first = '', ...others] = names.map((name) => `'${name}'`);
    warn(io, `of the nodes of the trace only ${first} was replayed, not ${others.join(', ')}; see --node`);
  }
}

/** The backend takes what it needs when it is first needed. */
function targetOf(backend: Backend): ReplayTarget {
  return {
    get size() {
      return backend.size;
    },
    read: (offset, buf) => backend.read(offset, buf),
    // New content is never the old one, whatever was recorded.
    write: (offset, buf, flags) => backend.write(offset, buf, flags & ~Flag.UNCHANGED),
    zero: (offset, length, flags) => backend.zero(offset, length, flags & ~Flag.UNCHANGED),
    discard: (offset, length) => backend.discard(offset, length),
    flush: () => backend.flush(),
    truncate: async (size) => {
      const { perm, shared } = backend.permissions;
      if ((perm & Perm.RESIZE) === 0) backend.setPermissions({ perm: perm | Perm.RESIZE, shared });
      await backend.truncate(size, { exact: true });
    },
  };
}

async function conclude(report: ReplayReport, options: Options, io: Io): Promise<number> {
  if (!options.quiet) printReport(report, options, io);
  if (options.plot !== undefined) {
    const { writePlot } = await import('./replay-plot.ts');
    writePlot(options.plot, report);
  }
  return report.newErrors > 0 || (report.verified?.mismatches ?? 0) > 0 ? 1 : 0;
}
