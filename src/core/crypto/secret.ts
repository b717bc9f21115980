/**
 * A password or key. It is kept where neither a dump of an object nor JSON shows it: only who asks for the bytes
 * gets them, and an error about a secret names its id.
 */
import { nodeCrypto } from '../bytes/node-crypto.ts';
import { BlockError, Usage } from '../errors/block-error.ts';

export class Secret {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The secret as it is; not to be printed. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }
}

export type SecretFormat = 'raw' | 'base64';

/** How the bytes of a secret are wrapped. */
export interface SecretCoding {
  /** How errors call the secret. */
  readonly what: string;
  readonly format: SecretFormat;
  /** The secret is encrypted with this one (AES-256 in CBC mode, PKCS#7 padding), which is 32 bytes. */
  readonly key?: Secret;
  /** Initialization vector of that, base64. */
  readonly iv?: string;
}

const KEY_BYTES = 32;
const IV_BYTES = 16;

/** The secret behind `data`. @throws Usage, which never says what the data was. */
export function decodeSecret(data: Uint8Array, { what, format, key, iv }: SecretCoding): Secret {
  if (key === undefined && iv === undefined) return new Secret(format === 'base64' ? fromBase64(data, what) : data);
  if (key === undefined) throw new Usage(`option 'iv' of ${what} needs 'keyid'`);
  if (iv === undefined) throw new Usage(`option 'keyid' of ${what} needs 'iv'`);
  if (key.bytes.length !== KEY_BYTES) {
    throw new Usage(`the key that ${what} is encrypted with is ${key.bytes.length} bytes long, not ${KEY_BYTES}`);
  }
  const vector = fromBase64(Buffer.from(iv), `the iv of ${what}`);
  if (vector.length !== IV_BYTES) throw new Usage(`the iv of ${what} is ${vector.length} bytes long, not ${IV_BYTES}`);
  // What is encrypted in the raw format is raw itself; in base64 the encrypted bytes are what is encoded.
  const wrapped = format === 'base64' ? fromBase64(data, what) : data;
  const decipher = nodeCrypto().createDecipheriv('aes-256-cbc', key.bytes, vector);
  try {
    return new Secret(Buffer.concat([decipher.update(wrapped), decipher.final()]));
  } catch {
    throw new BlockError(`${what} cannot be decrypted with that key`, { code: 'EINVAL' });
  }
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Line breaks are let through, as they come from tools. */
function fromBase64(data: Uint8Array, what: string): Uint8Array {
  const text = Buffer.from(data).toString('latin1').replace(/\s+/g, '');
  if (BASE64.test(text) && text.length % 4 === 0) return Buffer.from(text, 'base64');
  throw new Usage(`${what} is not in base64`);
}
