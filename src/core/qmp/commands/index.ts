/** The list of commands, the only one. */
import type { AnyCommand } from '../record.ts';
import { accountingCommands } from './accounting.ts';
import { controlCommands } from './control.ts';
import { createCommands } from './create.ts';
import { exportCommands } from './exports.ts';
import { graphCommands } from './graph.ts';
import { jobCommands } from './jobs.ts';
import { liveJobCommands } from './live-jobs.ts';
import { nodeCommands } from './nodes.ts';
import { objectCommands } from './objects.ts';
import { queryCommands } from './query.ts';
import { throttleCommands } from './throttle.ts';
import { transactionCommands } from './transaction.ts';

export interface Family {
  readonly title: string;
  readonly commands: readonly AnyCommand[];
}

export const families: readonly Family[] = [
  { title: 'The session', commands: controlCommands },
  { title: 'Nodes', commands: nodeCommands },
  { title: 'The graph', commands: graphCommands },
  { title: 'Looking at nodes', commands: queryCommands },
  { title: 'Making images', commands: createCommands },
  { title: 'Snapshots, bitmaps and transactions', commands: transactionCommands },
  { title: 'Jobs on nodes in use', commands: liveJobCommands },
  { title: 'Jobs', commands: jobCommands },
  { title: 'Exports', commands: exportCommands },
  { title: 'Objects', commands: objectCommands },
  { title: 'Limits', commands: throttleCommands },
  { title: 'Accounting', commands: accountingCommands },
];

export const allCommands: readonly AnyCommand[] = families.flatMap((family) => family.commands);

export const commandTable: ReadonlyMap<string, AnyCommand> = new Map(allCommands.map((each) => [each.name, each]));
