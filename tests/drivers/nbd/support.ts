import { Backend } from '../../../src/core/block/backend/backend.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { operations } from '../../../src/core/block/graph/operations.ts';
import { protocolSpec } from '../../../src/core/block/graph/spec.ts';
import { driverList } from '../../../src/drivers/index.ts';

export interface OpenedExport extends AsyncDisposable {
  readonly disk: Backend;
  read: Backend['read'];
  write: Backend['write'];
  zero: Backend['zero'];
  discard: Backend['discard'];
  flush: Backend['flush'];
}

/** Open an export for reading and writing, without a format on it. */
export async function openExport(uri: string, options: Readonly<Record<string, unknown>> = {}): Promise<OpenedExport> {
  const graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
  const { readOnly = false, ...rest } = options;
  const disk = await Backend.open(
    graph,
    { ...protocolSpec(driverList, uri), discard: 'unmap', ...rest },
    {
      user: 'the test',
      permissions: readOnly ? operations.read.image : operations.resize.image,
      open: { modes: { readOnly: readOnly === true } },
    },
  );
  return {
    disk,
    read: (...args) => disk.read(...args),
    write: (...args) => disk.write(...args),
    zero: (...args) => disk.zero(...args),
    discard: (...args) => disk.discard(...args),
    flush: () => disk.flush(),
    [Symbol.asyncDispose]: async () => {
      await disk.close().catch(() => undefined);
      await graph.close();
    },
  };
}
