/**
 * `blkdebug`: faults on purpose. Requests fail, wait or are held by rules, at breakpoints and under labels; limits
 * and permissions can be made stricter than those of the image.
 *
 * Here belongs what decides over a request. Changing what is read or written does not.
 * How to use it: docs/testing-with-blkdebug.md.
 */
import type { Driver, Image, OpenContext } from '../../core/block/driver.ts';
import { Perm, type PermMask } from '../../core/block/permissions-bits.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { defineOptions } from '../../core/options/fields.ts';
import { validate } from '../../core/options/parse.ts';
import { readConfig } from './config-file.ts';
import { BlkdebugImage } from './image.ts';
import { limitsFrom } from './limits.ts';
import { type BlkdebugOptions, injectErrorFields, labelFields, options, setStateFields } from './options.ts';
import { injectRule, Rules } from './rules.ts';

const PERMISSIONS: Readonly<Record<string, PermMask>> = {
  'consistent-read': Perm.CONSISTENT_READ,
  write: Perm.WRITE,
  'write-unchanged': Perm.WRITE_UNCHANGED,
  resize: Perm.RESIZE,
  // A permission of old that nothing needs any more.
  'graph-mod': 0,
};

async function open(context: OpenContext<BlkdebugOptions>): Promise<Image> {
  const given = await withConfig(context.options, context.signal);
  const file = context.child('image');
  const image = new BlkdebugImage(file, {
    rules: new Rules(
      given['inject-error'].map(injectRule),
      given['set-state'].map((rule) => ({ event: rule.event, state: rule.state, newState: rule.new_state })),
    ),
    limits: limitsFrom(given, file.limits),
    leastZero: given['opt-write-zero'],
    take: maskOf(given['take-child-perms']),
    unshare: maskOf(given['unshare-child-perms']),
  });
  for (const { name, iotype, once, hold, ...match } of given.label) {
    image.labels.arm(name, { ...match, kind: iotype, again: !once });
    if (hold !== undefined) image.labels.hold(name, hold);
  }
  return image;
}

/** The rules of the file first, then those of the options. */
async function withConfig(given: BlkdebugOptions, signal?: AbortSignal): Promise<BlkdebugOptions> {
  if (given.config === undefined) return given;
  const sections = await readConfig(given.config, signal);
  const of = (kind: string) => sections.filter((section) => section.kind === kind);
  return {
    ...given,
    'inject-error': [
      ...of('inject-error').map(({ values, where }) => validate(defineOptions(injectErrorFields), values, where)),
      ...given['inject-error'],
    ],
    'set-state': [
      ...of('set-state').map(({ values, where }) => validate(defineOptions(setStateFields), values, where)),
      ...given['set-state'],
    ],
    label: [
      ...of('label').map(({ values, where }) => validate(defineOptions(labelFields), values, where)),
      ...given.label,
    ],
  };
}

function maskOf(names: readonly string[]): PermMask {
  return names.reduce((mask, name) => mask | (PERMISSIONS[name] ?? 0), 0);
}

/** `blkdebug:CONFIG:IMAGE`; the path of the configuration may be empty. Any other name is that of the image. */
function parseFileName(name: string): Record<string, unknown> {
  if (!name.startsWith('blkdebug:')) return { 'x-image': name };
  const [, config, image] = /^blkdebug:([^:]*):(.*)$/s.exec(name) ?? [];
  if (image === undefined || image === '') {
    throw new Usage(`'${name}' is not of the form blkdebug:CONFIG:IMAGE, of which CONFIG may be empty`);
  }
  return { ...(config ? { config } : {}), 'x-image': image };
}

/** The name holds the configuration file and the image; rules among the options have no place in it. */
function nameFor(given: BlkdebugOptions, childName: (edge: string) => string | undefined): string | undefined {
  const rules = [...given['inject-error'], ...given['set-state'], ...given.label];
  const { config = '' } = given;
  const image = childName('image');
  return rules.length > 0 || config.includes(':') || image === undefined ? undefined : `blkdebug:${config}:${image}`;
}

export const blkdebugDriver: Driver<BlkdebugOptions> = {
  name: 'blkdebug',
  kind: 'filter',
  options,
  slots: [{ name: 'image', role: 'filtered', anyNode: true, nameOption: 'x-image' }],
  schemes: ['blkdebug'],
  parseFileName,
  nameFor,
  strongOptions: ['config', 'inject-error', 'set-state', 'label'],
  open,
};
