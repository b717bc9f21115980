import { NotSupported, Usage } from '../../core/errors/block-error.ts';
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
  'throttle-group': 'throttling',
  'pr-manager-helper': 'persistent reservations',
  'thread-context': 'thread placement',
  'main-loop': 'event loop settings',
};

/** Reader of `--object`: refuses every type, since nothing could refer to the object yet. */
export function objectValue(text: string, option: string): never {
  const type = parseKeyValues(text, { impliedKey: 'qom-type' })['qom-type'] ?? '';
  if (type === '') throw new Usage(`${option} expects a type such as secret, not '${text}'`);
  const use = Object.hasOwn(OBJECT_USES, type) ? OBJECT_USES[type] : undefined;
  if (use === undefined) throw new Usage(`${option}: there is no object type '${type}'`);
  throw new NotSupported(`${option}: '${type}' is for ${use}, not supported by this version`);
}
