import { choice, secretId, text } from '../../options/fields.ts';

/** Options that say how a secret is wrapped; those of every type of secret. */
export const codingFields = {
  format: choice(['raw', 'base64'], { help: 'How the data is encoded', default: 'raw' }),
  keyid: secretId({ help: 'Id of the secret that this one is encrypted with (AES-256 in CBC mode)' }),
  iv: text({ help: 'Initialization vector of that encryption, base64' }),
};
