/** What a user may ask of a job, and in which states. */
import { type JobState, marked } from './states.ts';

const verbs = {
  //          created running paused ready standby waiting pending aborting concluded null
  cancel: '   x       x       x      x     x       x       x       .        .         .',
  pause: '    x       x       x      x     x       .       .       .        .         .',
  resume: '   x       x       x      x     x       .       .       .        .         .',
  setSpeed: ' x       x       x      x     x       .       .       .        .         .',
  complete: ' .       .       .      x     .       .       .       .        .         .',
  finalize: ' .       .       .      .     .       .       x       .        .         .',
  dismiss: '  .       .       .      .     .       .       .       .        x         .',
  change: '   x       x       x      x     x       .       .       .        .         .',
} as const;

export type JobVerb = keyof typeof verbs;

export const jobVerbs = Object.keys(verbs) as readonly JobVerb[];

/** True when `verb` may be asked of a job in `state`. */
export function allows(verb: JobVerb, state: JobState): boolean {
  return marked(verbs[verb], state);
}
