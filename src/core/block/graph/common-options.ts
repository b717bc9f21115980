/** Options that every node has, whatever its driver. */
import { bool, choice, defineOptions, type OptionsOf, text } from '../../options/fields.ts';
import type { ChildRole, OpenModes } from '../driver.ts';

export const commonOptions = defineOptions({
  driver: text({ help: 'Driver of the node; found by probing when absent' }),
  'node-name': text({ help: 'Name of the node; generated when absent' }),
  'read-only': bool({ help: 'Refuse writing' }),
  'auto-read-only': bool({ help: 'Open read-only when writing is not possible' }),
  'force-share': bool({ help: 'Take no locks and share everything; read-only nodes only' }),
  discard: choice(['ignore', 'unmap', 'off', 'on'], { help: 'Whether discards are passed on' }),
  'detect-zeroes': choice(['off', 'on', 'unmap'], { help: 'Turn writes of zeroes into zeroing' }),
  'cache.direct': bool({ help: 'Bypass the page cache' }),
  'cache.no-flush': bool({ help: 'Ignore flushes' }),
  trace: text({ help: 'Record all requests to the node in this file; ending in .gz or .zst it is compressed' }),
});

export type CommonOptions = OptionsOf<typeof commonOptions>;

export const commonNames: ReadonlySet<string> = new Set([
  'driver',
  'node-name',
  'read-only',
  'auto-read-only',
  'force-share',
  'discard',
  'detect-zeroes',
  'cache',
  'trace',
]);

/** An option of every node, `cache.*` in either notation. */
export function isCommon(key: string): boolean {
  return commonNames.has(key) || key.startsWith('cache.');
}

/** The common part of a spec, with `cache.*` flat as the schema names it. */
export function pickCommon(spec: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const own: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(spec)) {
    if (!isCommon(key) || value === undefined) continue;
    if (key === 'cache' && typeof value === 'object' && value !== null) {
      for (const [name, setting] of Object.entries(value)) own[`cache.${name}`] = setting;
    } else own[key] = value;
  }
  return own;
}

/** What a child takes over from its parent where its own options are silent. */
export interface InheritedModes extends OpenModes {
  readonly autoReadOnly: boolean;
}

export const defaultModes: InheritedModes = {
  readOnly: false,
  noIo: false,
  direct: false,
  noFlush: false,
  unmap: false,
  forceShare: false,
  forRepair: false,
  autoReadOnly: false,
};

/** Modes of a node: its own options over those it inherits. */
export function resolveModes(own: CommonOptions, inherited: InheritedModes): InheritedModes {
  return {
    readOnly: own['read-only'] ?? inherited.readOnly,
    autoReadOnly: own['auto-read-only'] ?? inherited.autoReadOnly,
    noIo: inherited.noIo,
    direct: own['cache.direct'] ?? inherited.direct,
    noFlush: own['cache.no-flush'] ?? inherited.noFlush,
    unmap: own.discard === undefined ? inherited.unmap : own.discard === 'unmap' || own.discard === 'on',
    forceShare: own['force-share'] ?? inherited.forceShare,
    forRepair: inherited.forRepair,
  };
}

/** What a child that is opened with its parent takes over from it. */
export function modesForChild(
  parent: InheritedModes,
  child: { readonly role: ChildRole; readonly readOnly?: boolean | undefined; readonly filterAbove: boolean },
): InheritedModes {
  const isBacking = child.role === 'cow';
  const unmap = child.role === 'filtered' && child.filterAbove ? parent.unmap : true;
  return {
    ...parent,
    readOnly: child.readOnly ?? (isBacking ? true : parent.readOnly),
    unmap: isBacking ? false : unmap,
    forRepair: !isBacking && parent.forRepair,
  };
}
