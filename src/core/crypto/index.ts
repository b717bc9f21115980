/**
 * Cryptography: secrets, ciphers over the sectors of a disk, the key slots of LUKS; TLS on sockets, with the folders of
 * credentials it needs, and who may come in (`tls-….ts`, imported one by one, since few programs need them).
 *
 * Of disks, here belongs what is a pure function of bytes and keys, with Node's own `crypto` below, and the LUKS header, read and
 * written through an area of bytes that its user hands in: no image, no file, no graph. Here does not belong where a
 * header lies or who may use a secret (drivers, core/block/objects).
 */
export { type IvAlgorithm, type IvGenerator, ivGenerator } from './iv-generator.ts';
export { HEADER_BYTES, type LuksHeader, luksVersion } from './luks/header.ts';
export { luksInfo, luksInfoFields } from './luks/info.ts';
export {
  amendSlots,
  LUKS_DISPLAY_ORDER,
  type LuksAmendOptions,
  type LuksCreateOptions,
  luksAmendFields,
  luksCreateFields,
  newVolume,
} from './luks/options.ts';
export { type HeaderArea, headerBytes, LuksVolume, type NewVolume } from './luks/volume.ts';
export { Secret } from './secret.ts';
export { SECTOR, SectorCipher } from './sector-cipher.ts';
