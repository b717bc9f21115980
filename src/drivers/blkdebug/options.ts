/** Options of blkdebug: rules, limits, permissions. The sections of a configuration file take the same fields. */
import { blockEvents } from '../../core/block/events.ts';
import { requestKinds } from '../../core/block/fault-control.ts';
import { errnoCode } from '../../core/host/errno.ts';
import {
  bool,
  bytes,
  choice,
  defineOptions,
  group,
  integer,
  list,
  type OptionsOf,
  text,
} from '../../core/options/fields.ts';
import { MAX_ALIGNMENT } from './limits.ts';
import { SECTOR } from './rules.ts';

const event = choice(blockEvents, { help: 'Event at which the rule takes effect', required: true });
const MAX_STATE = 2 ** 31 - 1;
const state = integer({ help: 'State in which the rule takes effect, 0 for any', default: 0, min: 0, max: MAX_STATE });
/** The last one that begins at an offset which is a safe integer. */
const MAX_SECTOR = Math.floor(Number.MAX_SAFE_INTEGER / SECTOR);
/** The longest that a timer of Node waits, 24 days. */
const MAX_DELAY_NS = (2 ** 31 - 1) * 1e6;

export const injectErrorFields = {
  event,
  state,
  iotype: choice(requestKinds, { help: 'Kind of request that fails; by default any but block-status' }),
  errno: text({
    help: 'Number or name of the error, 0 for none',
    default: '5',
    orNumber: true,
    must: {
      be: 'the number or the name of an error that a request can have',
      test: (errno) => errno === '0' || errnoCode(errno) !== undefined,
    },
  }),
  sector: integer({
    help: 'Sector of 512 bytes that the request must touch, -1 for any',
    default: -1,
    min: -1,
    max: MAX_SECTOR,
  }),
  'delay-ns': integer({
    help: 'Time that the request is held back, in nanoseconds',
    default: 0,
    min: 0,
    max: MAX_DELAY_NS,
  }),
  once: bool({ help: 'The rule is gone when it has been used', default: false }),
  immediately: bool({ help: 'Fail at once, not in a later turn of the event loop', default: false }),
};

export const setStateFields = {
  event,
  state,
  new_state: integer({ help: 'State that the engine goes to', required: true, min: 0, max: MAX_STATE }),
};

export const labelFields = {
  name: text({ help: 'What the request is called', required: true, nonEmpty: true }),
  iotype: choice(requestKinds, { help: 'Kind of request; by default any' }),
  offset: bytes({ help: 'Offset in bytes that the request must touch; by default any' }),
  length: bytes({
    help: 'Length of the range at the offset, of which the request must touch some',
    default: 1,
    min: 1,
  }),
  event: choice(blockEvents, { help: 'Event that must have been announced before' }),
  skip: integer({ help: 'Requests that fit and are let pass first', default: 0, min: 0 }),
  hold: choice(['arrival', 'completion'], { help: 'Where to hold the request until it is released' }),
  once: bool({ help: 'Name one request only, not each after the other', default: true }),
};

const permission = choice(['consistent-read', 'write', 'write-unchanged', 'resize', 'graph-mod'], {
  help: 'A permission',
  required: true,
});

const limit = (help: string) => bytes({ help, default: 0, max: MAX_ALIGNMENT });

export const options = defineOptions({
  config: text({ help: 'Path of a file with rules' }),
  'x-image': text({ help: 'File name of the image', hidden: true }),
  align: limit('Alignment that requests must have, in bytes'),
  'max-transfer': limit('Longest read or write in bytes'),
  'opt-write-zero': limit('Granularity of zeroing in bytes'),
  'max-write-zero': limit('Longest zeroing in bytes'),
  'opt-discard': limit('Granularity of discards in bytes'),
  'max-discard': limit('Longest discard in bytes'),
  'inject-error': list(group(injectErrorFields, { help: 'A rule', required: true }), {
    help: 'Rules that make requests fail or wait',
    default: [],
    orOne: true,
  }),
  'set-state': list(group(setStateFields, { help: 'A rule', required: true }), {
    help: 'Rules that change the state of the engine',
    default: [],
    orOne: true,
  }),
  label: list(group(labelFields, { help: 'A label', required: true }), {
    help: 'Requests that get a name, by which they can be waited for, held, failed and released',
    default: [],
    orOne: true,
  }),
  'take-child-perms': list(permission, { help: 'Permissions to take on the image beside those needed', default: [] }),
  'unshare-child-perms': list(permission, { help: 'Permissions to deny others on the image', default: [] }),
});

export type BlkdebugOptions = OptionsOf<typeof options>;
