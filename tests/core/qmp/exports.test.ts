import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Exports } from '../../../src/core/qmp/exports.ts';
import { tempDir } from '../../support/temp.ts';
import { holder, makeNode } from '../block/graph/nodes.ts';
import { testGraph } from '../block/graph/support.ts';

test('the end of an export whose server was stopped meanwhile is not that of the next one with its id', async () => {
  const graph = testGraph();
  let open: () => void = () => undefined;
  const flushed = new Promise<void>((resolve) => {
    open = resolve;
  });
  graph.hold(makeNode(graph, 'n', { image: { flush: () => flushed } }), holder);
  const gone: string[] = [];
  const exports = new Exports(graph, (id) => void gone.push(id));
  const server = {
    addresses: [{ type: 'unix', path: join(tempDir(), 's') }],
    maxConnections: 0,
    handshakeSeconds: 10,
  } as const;
  const request = {
    id: 'e',
    node: 'n',
    writable: true,
    writethrough: false,
    bitmaps: [],
    allocationDepth: false,
  };
  await exports.start(server);
  exports.add(request);
  const removing = exports.remove('e', true);
  await exports.stop();
  await exports.start(server);
  exports.add(request);
  open();
  await removing;
  expect([gone, exports.list().map(({ id, removing: ends }) => ({ id, ends }))]).toEqual([
    ['e'],
    [{ id: 'e', ends: false }],
  ]);
  await exports.close();
});
