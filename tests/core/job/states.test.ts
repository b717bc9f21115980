import { describe, expect, test } from 'vitest';
import { type JobState, jobStates, mayGo } from '../../../src/core/job/states.ts';
import { allows, type JobVerb, jobVerbs } from '../../../src/core/job/verbs.ts';

/** The ways of reference/qsd-qmp and the control socket's documentation, written as lists. */
const ways: Record<JobState, JobState[]> = {
  created: ['running', 'aborting', 'null'],
  running: ['paused', 'ready', 'waiting', 'aborting'],
  paused: ['running'],
  ready: ['standby', 'waiting', 'aborting'],
  standby: ['ready'],
  waiting: ['pending', 'aborting'],
  pending: ['aborting', 'concluded'],
  aborting: ['aborting', 'concluded'],
  concluded: ['null'],
  null: [],
};

const while_running: JobState[] = ['created', 'running', 'paused', 'ready', 'standby'];
const verbs: Record<JobVerb, JobState[]> = {
  cancel: [...while_running, 'waiting', 'pending'],
  pause: while_running,
  resume: while_running,
  setSpeed: while_running,
  change: while_running,
  complete: ['ready'],
  finalize: ['pending'],
  dismiss: ['concluded'],
};

describe('the transition table', () => {
  test.each(jobStates)('says where a job that is %s may go', (from) => {
    expect(jobStates.filter((to) => mayGo(from, to)).sort()).toEqual([...ways[from]].sort());
  });

  test('leads from everywhere to the end', () => {
    const reaches = (state: JobState, seen = new Set<JobState>()): boolean => {
      if (state === 'null') return true;
      seen.add(state);
      return ways[state].some((next) => !seen.has(next) && reaches(next, seen));
    };
    expect(jobStates.filter((state) => !reaches(state))).toEqual([]);
  });
});

describe('the verb table', () => {
  test('knows all verbs', () => {
    expect([...jobVerbs].sort()).toEqual(Object.keys(verbs).sort());
  });

  test.each(Object.keys(verbs) as JobVerb[])('says when %s may be asked', (verb) => {
    expect(jobStates.filter((state) => allows(verb, state)).sort()).toEqual([...verbs[verb]].sort());
  });
});
