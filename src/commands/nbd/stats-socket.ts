/** `--stats`: the statistics as JSON Lines, to every reader of a socket of its own. */
import type { Socket } from 'node:net';
import type { BlockGraph } from '../../core/block/graph/block-graph.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { Listener } from '../../core/export/index.ts';
import { bool, defineOptions, parseKeyValues, text, validate } from '../../core/options/index.ts';
import { blockStats } from '../../core/qmp/index.ts';

const options = defineOptions({
  address: text({ help: 'unix:PATH', required: true }),
  interval: text({ help: 'Seconds between two lines, also 0.1', default: '1' }),
  'query-nodes': bool({ help: 'Of nodes, rather than of exports and nodes', default: false }),
});

/** Bytes that may wait for a reader that is slow; lines beyond are left out for it. */
const MAX_UNREAD = 1024 * 1024;

export async function serveStats(graph: BlockGraph, typed: string): Promise<() => void> {
  const given = validate(options, parseKeyValues(typed, { impliedKey: 'address' }), '--stats');
  if (!given.address.startsWith('unix:') || given.address === 'unix:') {
    throw new Usage(`--stats expects unix:PATH, not '${given.address}'`);
  }
  const interval = milliseconds(given.interval);
  const readers = new Set<Socket>();
  const line = (): string =>
    `${JSON.stringify({
      time: Date.now() / 1000,
      ...(given['query-nodes'] ? {} : { exports: blockStats(graph, false).map(flat) }),
      nodes: blockStats(graph, true).map(flat),
    })}\n`;
  const listener = await Listener.open({
    address: { type: 'unix', path: given.address.slice(5) },
    connected(socket) {
      readers.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => readers.delete(socket));
      socket.on('end', () => socket.destroySoon());
      socket.resume();
      socket.write(line());
    },
  });
  const timer = setInterval(() => {
    if (readers.size === 0) return;
    const text = line();
    for (const reader of readers) if (reader.writableLength < MAX_UNREAD) reader.write(text);
  }, interval);
  return () => {
    clearInterval(timer);
    listener.close();
    for (const reader of readers) reader.destroySoon();
  };
}

const MIN_SECONDS = 0.01;
const MAX_SECONDS = 86_400;

function milliseconds(typed: string): number {
  const seconds = /^\d*\.?\d+$/.test(typed) ? Number(typed) : Number.NaN;
  if (seconds >= MIN_SECONDS && seconds <= MAX_SECONDS) return seconds * 1000;
  throw new Usage(`--stats: 'interval' must be ${MIN_SECONDS} to ${MAX_SECONDS} seconds, not '${typed}'`);
}

/** Children have entries of their own. */
function flat({ device, 'node-name': node, stats }: ReturnType<typeof blockStats>[number]): object {
  return { ...(device === undefined ? {} : { device }), 'node-name': node, stats };
}
