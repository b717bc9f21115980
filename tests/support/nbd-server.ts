/** A server in this process that serves disks in memory. */
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { operations } from '../../src/core/block/graph/operations.ts';
import {
  Export,
  type ExportSettings,
  NbdServer,
  type ServerEvent,
  type ServerSettings,
} from '../../src/core/export/index.ts';
import { openDisk } from './disk.ts';
import { MemoryDisk, type MemorySettings, memoryEntry } from './memory-driver.ts';
import { tempDir } from './temp.ts';

export interface ServedDisk {
  readonly server: NbdServer;
  readonly disk: MemoryDisk;
  /** Path of the unix socket. */
  readonly path: string;
  readonly events: ServerEvent[];
}

export interface ServedOptions {
  readonly memory?: Partial<MemorySettings>;
  readonly target?: Partial<Omit<ExportSettings, 'backend'>>;
  readonly server?: Partial<ServerSettings>;
}

/** Serve a disk of 1 MiB under the name `disk` until the test has finished. */
export async function serveMemory(options: ServedOptions = {}): Promise<ServedDisk> {
  const disk = new MemoryDisk({ size: 1 << 20, ...options.memory });
  const readOnly = options.target?.readOnly ?? false;
  const backend = await openDisk(
    { driver: 'memory', disk: 'd' },
    {
      writable: !readOnly,
      modes: { unmap: true },
      extraDrivers: [memoryEntry(new Map([['d', disk]]))],
      permissions: readOnly ? operations.export.image : operations['export-writable'].image,
    },
  );
  const events: ServerEvent[] = [];
  const server = new NbdServer({
    shared: 0,
    handshakeLimit: 0,
    ...options.server,
    onEvent: (event) => events.push(event),
  });
  server.addExport(new Export({ name: 'disk', readOnly, ...options.target, backend }));
  const path = join(tempDir(), 's');
  await server.listen({ type: 'unix', path });
  onTestFinished(() => server.stop());
  return { server, disk, path, events };
}
