/** What `info.ts` tells, for the schema of the control socket. */
import { luksInfoFields } from '../../core/crypto/index.ts';
import { bool, choice, group, integer, list, text, variant } from '../../core/options/fields.ts';

const required = { required: true } as const;

const bitmap = group(
  {
    name: text({ help: 'Its name', ...required }),
    granularity: integer({ help: 'Bytes that a bit stands for', ...required }),
    flags: list(choice(['in-use', 'auto'], { help: 'A flag', ...required }), {
      help: 'in-use: it was not saved properly; auto: it records',
      ...required,
    }),
  },
  { help: 'A bitmap', ...required },
);

export const infoFields = {
  compat: text({ help: 'Version 0.10 or 1.1', ...required }),
  'compression-type': choice(['zlib', 'zstd'], { help: 'How clusters are compressed', ...required }),
  'refcount-bits': integer({ help: 'Bits of a reference count', ...required }),
  'lazy-refcounts': bool({ help: 'Reference counts may be written late; from version 1.1 on, as all that follow' }),
  corrupt: bool({ help: 'It has been found to be damaged' }),
  'extended-l2': bool({ help: 'Clusters have parts' }),
  'data-file': text({ help: 'File that holds the data' }),
  'data-file-raw': bool({ help: 'That file is a raw image' }),
  bitmaps: list(bitmap, { help: 'Bitmaps kept in it' }),
  encrypt: variant('format', { aes: {}, luks: luksInfoFields }, { help: 'How it is encrypted', keyHelp: 'Scheme' }),
};
