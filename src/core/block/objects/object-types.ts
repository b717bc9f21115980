/** The list of object types, the only one. An entry says just enough for help; its code is loaded when it is used. */
import { NotSupported, Usage } from '../../errors/block-error.ts';
import { suggestion } from '../../options/closest.ts';
import type { Options } from '../../options/schema.ts';
import type { ObjectEntry, ObjectKind, ObjectType } from './object-type.ts';

/** Options are checked by the type's own schema before it sees them, so the list need not know what they are. */
function erased<O extends Options, K extends ObjectKind>(type: ObjectType<O, K>): ObjectType {
  return type as unknown as ObjectType;
}

/** Sorted by name. */
export const objectEntries: readonly ObjectEntry[] = [
  {
    name: 'authz-list',
    summary: 'Who may connect, by a list of rules',
    load: async () => erased((await import('./authz.ts')).authzList),
  },
  {
    name: 'authz-list-file',
    summary: 'Who may connect, by a list of rules in a file',
    load: async () => erased((await import('./authz.ts')).authzListFile),
  },
  {
    name: 'authz-simple',
    summary: 'The one who may connect',
    load: async () => erased((await import('./authz.ts')).authzSimple),
  },
  {
    name: 'iothread',
    summary: 'Accepted for scripts that name one; all requests are served by one thread',
    load: async () => erased((await import('./iothread.ts')).iothread),
  },
  {
    name: 'secret',
    summary: 'A password or key',
    load: async () => erased((await import('./secret.ts')).secret),
  },
  {
    name: 'secret_keyring',
    summary: "A password or key from the kernel's keyring",
    load: async () => erased((await import('./secret-keyring.ts')).secretKeyring),
  },
  {
    name: 'throttle-group',
    summary: 'Limits on bytes and operations per second that nodes share',
    load: async () => erased((await import('./throttle-group.ts')).throttleGroup),
  },
  {
    name: 'tls-creds-anon',
    summary: 'TLS that hides what is said, but does not tell with whom',
    load: async () => erased((await import('./tls-creds.ts')).tlsCredsAnon),
  },
  {
    name: 'tls-creds-psk',
    summary: 'TLS with keys that both ends share',
    load: async () => erased((await import('./tls-creds.ts')).tlsCredsPsk),
  },
  {
    name: 'tls-creds-x509',
    summary: 'TLS with certificates',
    load: async () => erased((await import('./tls-creds.ts')).tlsCredsX509),
  },
];

/** Types that are known elsewhere, and why they are not here. */
const ABSENT: Readonly<Record<string, string>> = {
  'main-loop': 'it sets up an event loop and a thread pool that this program does not have',
  'thread-context': 'it places threads that this program does not have',
  'pr-manager-helper': 'persistent reservations are for SCSI devices, which are not driven here',
  'tls-cipher-suites': 'it hands a list of ciphers to firmware, which there is none of',
  'authz-pam': 'PAM is not asked by this program',
};

/** @throws Usage for a type that does not exist, NotSupported for one that serves no purpose here. */
export function objectEntry(name: string): ObjectEntry {
  const entry = objectEntries.find((each) => each.name === name);
  if (entry) return entry;
  const why = Object.hasOwn(ABSENT, name) ? ABSENT[name] : undefined;
  if (why !== undefined) throw new NotSupported(`object type '${name}' is not supported: ${why}`);
  const followUp = suggestion(
    name,
    objectEntries.map((each) => each.name),
  );
  throw new Usage(`there is no object type '${name}'`, { followUp });
}
