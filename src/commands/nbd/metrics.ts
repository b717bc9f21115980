/** `--metrics`: the accounts of exports and nodes in Prometheus' text format, over HTTP. */
import { createServer } from 'node:http';
import { Counter, Gauge, Registry } from 'prom-client';
import type { Accounting } from '../../core/block/accounting/accounting.ts';
import { IO_KINDS, type KindCounters } from '../../core/block/accounting/counters.ts';
import { BlockError, Usage } from '../../core/errors/block-error.ts';
import { type BlockService, namedBackends } from '../../core/qmp/index.ts';
import { parseQmpAddress } from './qmp-address.ts';

const LABELS = ['scope', 'name', 'operation'] as const;

/** Name, help and value of each number that only grows. */
const TOTALS: readonly (readonly [string, string, (counters: KindCounters) => number])[] = [
  ['operations_total', 'Requests that ended well', (counters) => counters.operations],
  ['bytes_total', 'Bytes of requests that ended well', (counters) => counters.bytes],
  ['failed_total', 'Requests that failed', (counters) => counters.failed],
  ['invalid_total', 'Requests that were refused before they were begun', (counters) => counters.invalid],
  ['merged_total', 'Requests taken into others', (counters) => counters.merged],
  ['seconds_total', 'Time in flight of all requests together', (counters) => counters.time / 1e9],
];

/** The registry, filled anew for each look. */
export function metricsRegistry(service: BlockService): Registry {
  const registry = new Registry();
  const common = { labelNames: LABELS, registers: [registry] };
  for (const [name, help, value] of TOTALS) {
    const counter = new Counter({
      ...common,
      name: `blockyard_${name}`,
      help,
      collect() {
        counter.reset();
        for (const { labels, counters } of series(service)) counter.inc(labels, value(counters));
      },
    });
  }
  const flying = new Gauge({
    ...common,
    name: 'blockyard_in_flight',
    help: 'Requests that wait for their end now',
    collect() {
      flying.reset();
      for (const { labels, counters } of series(service)) flying.set(labels, counters.inFlight);
    },
  });
  addIdleTimes(registry, service);
  addLatencies(registry, service);
  const jobs = new Gauge({
    name: 'blockyard_job_progress_bytes',
    help: 'What a job has done',
    labelNames: ['job', 'type', 'status'],
    registers: [registry],
    collect() {
      jobs.reset();
      for (const job of service.jobs.all()) {
        jobs.set({ job: job.id, type: job.type, status: job.state }, job.progress.done);
      }
    },
  });
  return registry;
}

function addIdleTimes(registry: Registry, service: BlockService): void {
  const idle = new Gauge({
    name: 'blockyard_idle_seconds',
    help: 'Time since a request ended',
    labelNames: ['scope', 'name'],
    registers: [registry],
    collect() {
      idle.reset();
      for (const { scope, name, accounts } of keepers(service)) {
        if (accounts.idle !== undefined) idle.set({ scope, name }, accounts.idle / 1e9);
      }
    },
  });
}

function addLatencies(registry: Registry, service: BlockService): void {
  const latencies = new Counter({
    name: 'blockyard_latency_seconds_bucket',
    help: 'Requests that took less than le seconds, where block-latency-histogram-set asked for that',
    labelNames: [...LABELS, 'le'],
    registers: [registry],
    collect() {
      latencies.reset();
      for (const { labels, counters } of series(service)) {
        for (const { le, count } of buckets(counters)) latencies.inc({ ...labels, le }, count);
      }
    },
  });
}

/** Of a histogram, each bin with those below it, as Prometheus has them. */
function* buckets({ histogram }: KindCounters): Generator<{ readonly le: string; readonly count: number }> {
  let count = 0;
  const { boundaries, bins } = histogram?.state ?? { boundaries: [], bins: [] };
  for (const [index, bin] of bins.entries()) {
    const boundary = boundaries[index];
    count += bin;
    yield { le: boundary === undefined ? '+Inf' : String(boundary / 1e9), count };
  }
}

interface Series {
  readonly labels: Readonly<Record<(typeof LABELS)[number], string>>;
  readonly counters: KindCounters;
}

function* series(service: BlockService): Generator<Series> {
  for (const { scope, name, accounts } of keepers(service)) {
    for (const operation of IO_KINDS) yield { labels: { scope, name, operation }, counters: accounts[operation] };
  }
}

interface Keeper {
  readonly scope: 'node' | 'export';
  readonly name: string;
  readonly accounts: Accounting;
}

function* keepers({ graph }: BlockService): Generator<Keeper> {
  for (const { name, accounts } of graph.nodes.values()) yield { scope: 'node', name, accounts };
  for (const { name = '', accounts } of namedBackends(graph)) yield { scope: 'export', name, accounts };
}

/** Begin to answer at `tcp:HOST:PORT`; returns how to end that. */
export async function serveMetrics(service: BlockService, typed: string): Promise<() => Promise<void>> {
  const address = parseQmpAddress(typed, '--metrics');
  if (address === 'stdio' || address.type !== 'inet') {
    throw new Usage(`--metrics expects tcp:HOST:PORT, not '${typed}'`);
  }
  const registry = metricsRegistry(service);
  const server = createServer((request, response) => {
    const path = request.url?.split('?', 1)[0];
    if (path !== '/metrics') return void response.writeHead(404).end('Look at /metrics\n');
    if (request.method !== 'GET' && request.method !== 'HEAD') return void response.writeHead(405).end();
    registry.metrics().then(
      (text) => response.writeHead(200, { 'Content-Type': registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new BlockError(`cannot listen at '${typed}': ${error.message}`)));
    server.listen({ host: address.host, port: address.port }, resolve);
  });
  return async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
}
