/** The words after `npm run bench --`. */
import { parseArgs } from 'node:util';

const GIB = 2 ** 30;

export interface BenchOptions {
  /** Print JSON instead of a table. */
  readonly json: boolean;
  /** Run the cases whose name contains one of these; all when empty. */
  readonly only: readonly string[];
  /** Timed rounds of each case; the long ones take fewer unless this is given. */
  readonly rounds: number | undefined;
  /** Length of the disk in bytes; three eighths of it are data. */
  readonly size: number;
  /** Folder in memory, and one on a disk for what needs the page cache. */
  readonly memory: string;
  readonly disk: string;
  readonly list: boolean;
}

export const HELP = `npm run bench -- [--only NAME]… [--rounds N] [--size GIB] [--json] [--list]
                 [--memory FOLDER] [--disk FOLDER]

--size    length of the disk in GiB, default 4 (with 1.5 GiB of data)
--memory  where images are put, default /dev/shm
--disk    where the cold source is put, default /var/tmp
`;

/** Throws with one line for words that it does not understand. */
export function readOptions(words: readonly string[]): BenchOptions | undefined {
  const { values } = parseArgs({
    args: [...words],
    options: {
      json: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string' },
      size: { type: 'string', default: '4' },
      memory: { type: 'string', default: '/dev/shm' },
      disk: { type: 'string', default: '/var/tmp' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const { json, only, memory, disk, list } = values;
  const rounds = values.rounds === undefined ? undefined : positive('--rounds', values.rounds);
  return { json, only, rounds, size: Math.round(positive('--size', values.size) * GIB), memory, disk, list };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`${name} expects a positive number, not '${text}'`);
  return value;
}
