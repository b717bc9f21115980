import type { CipherSpec } from './ciphers.ts';
import { LUKS_SECTOR, type LuksHeader, SlotState } from './header.ts';

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
