/**
 * `iothread`: scripts give exports a thread of their own. Requests here are carried out by one thread and the kernel,
 * so the object is a name that can be referred to, and its tuning is accepted without effect.
 */
import { defineOptions, integer, type OptionsOf } from '../../options/fields.ts';
import type { ObjectType } from './object-type.ts';

const MAX = 2 ** 53 - 1;
const NO_EFFECT = 'No effect here';

const options = defineOptions({
  'poll-max-ns': integer({ help: NO_EFFECT, min: 0, max: MAX }),
  'poll-grow': integer({ help: NO_EFFECT, min: 0, max: MAX }),
  'poll-shrink': integer({ help: NO_EFFECT, min: 0, max: MAX }),
  'aio-max-batch': integer({ help: NO_EFFECT, min: 0, max: MAX }),
  'thread-pool-min': integer({ help: NO_EFFECT, min: 0, max: MAX }),
  'thread-pool-max': integer({ help: NO_EFFECT, min: 0, max: MAX }),
});

export const iothread: ObjectType<OptionsOf<typeof options>, 'iothread'> = {
  name: 'iothread',
  kind: 'iothread',
  options,
  held: true,
  make: (_options, { id }) => ({ id }),
};
