/**
 * A format for the tests of the graph: a file that begins with `BYTEST ` and JSON that says what the image
 * asks for. Real files, so that descriptors and locks can be counted.
 */
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import type { Driver, DriverEntry, DriverList } from '../../../../src/core/block/driver.ts';
import { BlockGraph } from '../../../../src/core/block/graph/block-graph.ts';
import type { ReferencePolicy } from '../../../../src/core/block/graph/references.ts';
import { BlockError } from '../../../../src/core/errors/block-error.ts';
import { defineOptions, text } from '../../../../src/core/options/fields.ts';
import { driverList } from '../../../../src/drivers/index.ts';

export interface Header {
  readonly size?: number;
  readonly backing?: string;
  readonly backingFormat?: string;
  readonly dataFile?: string;
  /** Where opening fails. */
  readonly fail?: 'before children' | 'after children' | 'closing' | 'together';
}

const MAGIC = 'BYTEST ';

export function writeHeader(path: string, header: Header): string {
  writeFileSync(path, `${MAGIC}${JSON.stringify(header)}`.padEnd(2048, ' '));
  return path;
}

const driver: Driver = {
  name: 'bytest',
  kind: 'format',
  options: defineOptions({ strong: text({ help: 'Decides nothing' }) }) as unknown as Driver['options'],
  strongOptions: ['strong'],
  slots: [
    { name: 'file', role: 'metadata+data' },
    { name: 'backing', role: 'cow', lazy: true },
    { name: 'data-file', role: 'data', lazy: true },
  ],
  probe: (head) => (Buffer.from(head).toString('latin1').startsWith(MAGIC) ? 100 : 0),
  async open(context) {
    const file = context.child('file');
    const head = Buffer.alloc(2048);
    await file.read(0, head);
    const header = JSON.parse(head.toString('latin1').slice(MAGIC.length)) as Header;
    if (header.fail === 'before children') throw new BlockError('the header says so');
    const backingRequest = {
      name: 'backing',
      role: 'cow' as const,
      ...(header.backing === undefined ? {} : { fileName: header.backing }),
      ...(header.backingFormat === undefined ? {} : { driver: header.backingFormat }),
    };
    const backing = context.openChild(backingRequest);
    if (header.fail === 'together') {
      backing.catch(() => undefined);
      throw new BlockError('failed while a child was being opened');
    }
    await backing;
    if (header.dataFile !== undefined) {
      await context.openChild({ name: 'data-file', role: 'data', fileName: header.dataFile, probe: false });
    }
    if (header.fail === 'after children') throw new BlockError('the header says so');
    return {
      size: header.size ?? 4096,
      read: (_offset, buf) => void buf.fill(0),
      write: () => undefined,
      status: (_offset, length) => ({ length, allocated: false, data: false, zero: false }),
      close: async () => {
        if (header.fail === 'closing') throw new BlockError('closing fails');
      },
    };
  },
};

export const testFormat: DriverEntry = {
  name: 'bytest',
  kind: 'format',
  magic: (head) => Buffer.from(head.subarray(0, MAGIC.length)).toString('latin1') === MAGIC,
  load: async () => driver,
};

export interface GraphOptions {
  readonly drivers?: readonly DriverEntry[];
  readonly references?: ReferencePolicy;
  readonly warnings?: string[];
}

/** Call within a test: a graph that is closed when the test has finished. */
export function testGraph(options: GraphOptions = {}): BlockGraph {
  const drivers: DriverList = {
    ...driverList,
    entries: [...driverList.entries, testFormat, ...(options.drivers ?? [])],
  };
  const graph = new BlockGraph({
    drivers,
    references: options.references ?? 'all',
    warn: (message) => void options.warnings?.push(message),
  });
  onTestFinished(() => graph.close().catch(() => undefined));
  return graph;
}

/** Descriptors of this process that lead into `folder`. */
export function openFiles(folder: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith(folder) ? [target] : [];
    } catch {
      return [];
    }
  });
}
