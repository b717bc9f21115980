/**
 * The states of a job and the ways between them.
 *
 *     created ─▶ running ⇄ paused          ready ⇄ standby
 *                   │ └───────────────────▶ │
 *                   └──▶ waiting ─▶ pending ─▶ concluded ─▶ null
 *                any of them ─▶ aborting ──────▶ ┘
 *
 * ready: a job that goes on until it is told to complete has caught up. waiting: done, and others of the same
 * transaction are not. pending: all are done, and the user is to say `finalize`. null: forgotten.
 */
export const jobStates = [
  'created',
  'running',
  'paused',
  'ready',
  'standby',
  'waiting',
  'pending',
  'aborting',
  'concluded',
  'null',
] as const;

export type JobState = (typeof jobStates)[number];

/** One column for each state, in the order of {@link jobStates}; `x` where a job may go there. */
const transitions: Readonly<Record<JobState, string>> = {
  //          created running paused ready standby waiting pending aborting concluded null
  created: '  .       x       .      .     .       .       .       x        .         x',
  running: '  .       .       x      x     .       x       .       x        .         .',
  paused: '   .       x       .      .     .       .       .       .        .         .',
  ready: '    .       .       .      .     x       x       .       x        .         .',
  standby: '  .       .       .      x     .       .       .       .        .         .',
  waiting: '  .       .       .      .     .       .       x       x        .         .',
  pending: '  .       .       .      .     .       .       .       x        x         .',
  aborting: ' .       .       .      .     .       .       .       x        x         .',
  concluded: '.       .       .      .     .       .       .       .        .         x',
  null: '     .       .       .      .     .       .       .       .        .         .',
};

/** True when a job may go from one state to the other. */
export function mayGo(from: JobState, to: JobState): boolean {
  return marked(transitions[from], to);
}

/** Does a row of marks have an `x` in the column of `state`? */
export function marked(row: string, state: JobState): boolean {
  return row.trim().split(/\s+/)[jobStates.indexOf(state)] === 'x';
}
