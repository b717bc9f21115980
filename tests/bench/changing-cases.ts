/** Work that changes images: they are put in place anew before each run. */
import type { BenchCase } from './cases.ts';
import type { Files } from './files.ts';

export function changingCases(files: Files): BenchCase[] {
  const { changed } = files;
  const rebase = (next: string, format: string) => ['rebase', '-f', 'qcow2', '-F', format, '-b', next, changed];
  return [
    // Half of it replaces data of the base, half is new there.
    {
      name: 'commit',
      target: 1,
      needs: [],
      fresh: [
        { of: 'halfQcow2', at: files.base },
        { of: 'overBase', at: changed },
      ],
      ours: ['commit', '-q', '-f', 'qcow2', changed],
      rounds: 5,
    },
    // Half of it is missing in the new base, and goes into the overlay.
    {
      name: 'rebase',
      target: 1,
      needs: ['halfQcow2'],
      fresh: [{ of: 'overGib', at: changed }],
      ours: rebase(files.halfQcow2, 'qcow2'),
      rounds: 5,
    },
    {
      name: 'rebase-same',
      target: 1,
      needs: ['gib'],
      fresh: [{ of: 'overGib', at: changed }],
      ours: rebase(files.gib, 'raw'),
      rounds: 5,
    },
    ...snapshotCases(files),
  ];
}

function snapshotCases({ changed }: Files): BenchCase[] {
  const work = (verb: string, name: string) => ['snapshot', verb, name, changed];
  const before = [{ of: 'snapshot', at: changed }] as const;
  return [
    {
      name: 'snapshot-create',
      target: 1.2,
      needs: [],
      fresh: [{ of: 'full', at: changed }],
      ours: work('-c', 'now'),
      rounds: 5,
    },
    { name: 'snapshot-apply', target: 1.2, needs: [], fresh: before, ours: work('-a', 'before'), rounds: 5 },
    { name: 'snapshot-delete', target: 1.2, needs: [], fresh: before, ours: work('-d', 'before'), rounds: 5 },
  ];
}
