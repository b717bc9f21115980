/** `tls-creds-x509`, `tls-creds-psk` and `tls-creds-anon`: read when they are defined, so that mistakes show then. */
import { anonCredentials } from '../../crypto/tls-anon.ts';
import { pskCredentials } from '../../crypto/tls-psk.ts';
import { x509Credentials } from '../../crypto/tls-x509.ts';
import { bool, choice, defineOptions, type OptionsOf, secretId, text } from '../../options/fields.ts';
import type { ObjectType } from './object-type.ts';

/** Options of every type of credentials. */
const common = {
  endpoint: choice(['client', 'server'], { help: 'Which end of a connection they are for', default: 'client' }),
  'verify-peer': bool({ help: 'The other end has to prove who it is', default: true }),
  priority: text({ help: 'Versions and strength, in the words of GnuTLS (NORMAL:-VERS-TLS1.3)' }),
};

const dir = text({ help: 'Folder of the files', required: true, nonEmpty: true });

const x509Options = defineOptions({
  dir,
  ...common,
  'sanity-check': bool({ help: 'Look for what would make every connection fail', default: true }),
  passwordid: secretId({ help: 'Id of the secret that is the password of the private key' }),
});

const pskOptions = defineOptions({
  dir,
  ...common,
  username: text({ help: 'Who the client is', default: 'qemu', nonEmpty: true }),
});

const anonOptions = defineOptions({ dir: text({ help: 'Folder of dh-params.pem' }), ...common });

export const tlsCredsX509: ObjectType<OptionsOf<typeof x509Options>, 'tls-creds'> = {
  name: 'tls-creds-x509',
  kind: 'tls-creds',
  options: x509Options,
  held: true,
  make(options, { id, what, object, signal }) {
    const { passwordid } = options;
    return x509Credentials({
      id,
      what,
      signal,
      dir: options.dir,
      endpoint: options.endpoint,
      verifyPeer: options['verify-peer'],
      priority: options.priority,
      password: passwordid === undefined ? undefined : Buffer.from(object('secret', passwordid).bytes).toString('utf8'),
      sanityCheck: options['sanity-check'],
    });
  },
};

export const tlsCredsPsk: ObjectType<OptionsOf<typeof pskOptions>, 'tls-creds'> = {
  name: 'tls-creds-psk',
  kind: 'tls-creds',
  options: pskOptions,
  held: true,
  make: (options, { id, what, signal }) => pskCredentials({ ...options, id, what, signal, priority: options.priority }),
};

export const tlsCredsAnon: ObjectType<OptionsOf<typeof anonOptions>, 'tls-creds'> = {
  name: 'tls-creds-anon',
  kind: 'tls-creds',
  options: anonOptions,
  held: true,
  make: ({ endpoint, priority }, { id, what }) => anonCredentials({ id, what, endpoint, priority }),
};
