import { bool, group, integer, list, text } from '../../options/fields.ts';
import type { CipherSpec } from './ciphers.ts';
import { LUKS_SECTOR, type LuksHeader, SlotState } from './header.ts';

const required = { required: true } as const;
const count = (help: string) => integer({ help, ...required });
const word = (help: string) => text({ help, ...required });

/** What {@link luksInfo} tells. */
export const luksInfoFields = {
  'cipher-alg': word('The cipher'),
  'cipher-mode': word('How it goes from block to block'),
  'ivgen-alg': word('How each sector gets its own beginning'),
  'ivgen-hash-alg': text({ help: 'The hash in that' }),
  'hash-alg': word('The hash that keys are made with'),
  'payload-offset': count('Where the data begins, in bytes'),
  'master-key-iters': count('Rounds for the digest of the key'),
  uuid: word('Its UUID'),
  slots: list(
    group(
      {
        active: bool({ help: 'It holds the key', ...required }),
        iters: integer({ help: 'Rounds for its password' }),
        stripes: integer({ help: 'Times that the key is spread' }),
        'key-offset': count('Where it lies, in bytes'),
      },
      { help: 'A key slot', ...required },
    ),
    { help: 'The key slots', ...required },
  ),
};

/** What `info` shows of a LUKS header, in the order of the lines; `before` stand before the cipher mode. */
export function luksInfo(
  header: LuksHeader,
  spec: CipherSpec,
  before: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  return {
    'ivgen-alg': spec.iv,
    ...(spec.ivHash === undefined ? {} : { 'ivgen-hash-alg': spec.ivHash }),
    'hash-alg': header.hashSpec,
    'cipher-alg': spec.cipher,
    uuid: header.uuid,
    ...before,
    'cipher-mode': spec.mode,
    slots: header.slots.map((slot) => ({
      active: slot.state === SlotState.ACTIVE,
      ...(slot.state === SlotState.ACTIVE ? { iters: slot.iterations } : {}),
      'key-offset': slot.keyMaterialOffset * LUKS_SECTOR,
      ...(slot.state === SlotState.ACTIVE ? { stripes: slot.stripes } : {}),
    })),
    'payload-offset': header.payloadOffset * LUKS_SECTOR,
    'master-key-iters': header.mkDigestIterations,
  };
}
