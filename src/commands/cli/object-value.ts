/** Objects that a command line defines, for images to refer to: `--object throttle-group,id=g,x-bps-total=1M`. */
import type { BlockGraph } from '../../core/block/graph/block-graph.ts';
import { groupLimits, ThrottleGroup } from '../../core/block/throttling.ts';
import { NotSupported, Usage } from '../../core/errors/block-error.ts';
import { isRecord } from '../../core/options/index.ts';
import { parseJson } from '../../core/options/json.ts';
import { parseKeyValues } from '../../core/options/keyval.ts';

/** Types that users of qemu-img know, and what they are for. */
const OBJECT_USES: Readonly<Record<string, string>> = {
  secret: 'encrypted images',
  secret_keyring: 'encrypted images',
  'tls-creds-anon': 'TLS',
  'tls-creds-psk': 'TLS',
  'tls-creds-x509': 'TLS',
  'tls-cipher-suites': 'TLS',
  'authz-list': 'client authorisation',
  'authz-list-file': 'client authorisation',
  'authz-pam': 'client authorisation',
  'authz-simple': 'client authorisation',
  'pr-manager-helper': 'persistent reservations',
  'thread-context': 'thread placement',
  'main-loop': 'event loop settings',
};

/** What `--object` says in help. */
export const OBJECT_HELP =
  'Define an object (TYPE,id=ID,…) for images to refer to; there is throttle-group, with limits such as x-bps-total';

/** An object as it was defined, not yet known to any graph. */
export interface UserObject {
  readonly id: string;
  addTo(graph: BlockGraph): void;
}

/** Reader of `--object`: refuses types that nothing could refer to. */
export function objectValue(text: string, option: string): UserObject {
  const { 'qom-type': type = '', id, ...rest } = parseObject(text, option);
  if (type === '') throw new Usage(`${option} expects a type such as throttle-group, not '${text}'`);
  if (type === 'throttle-group') return throttleGroup(id, rest, option);
  const use = Object.hasOwn(OBJECT_USES, String(type)) ? OBJECT_USES[String(type)] : undefined;
  if (use === undefined) throw new Usage(`${option}: there is no object type '${String(type)}'`);
  throw new NotSupported(`${option}: '${String(type)}' is for ${use}, not supported by this version`);
}

/** `TYPE,key=value,…`, or JSON. */
function parseObject(text: string, option: string): Readonly<Record<string, unknown>> {
  if (!text.startsWith('{')) return parseKeyValues(text, { impliedKey: 'qom-type' });
  const value = parseJson(text, `the value of ${option}`);
  return isRecord(value) ? value : {};
}

function throttleGroup(id: unknown, options: Readonly<Record<string, unknown>>, option: string): UserObject {
  if (typeof id !== 'string' || id === '') throw new Usage(`${option}: a throttle-group needs an id`);
  const limits = groupLimits(options, `throttle-group '${id}'`);
  return {
    id,
    addTo(graph) {
      if (graph.throttleGroups.has(id)) throw new Usage(`${option}: there is already an object '${id}'`);
      graph.throttleGroups.set(id, new ThrottleGroup(limits));
    },
  };
}
