/**
 * Cryptography: secrets, ciphers over the sectors of a disk, the key slots of LUKS.
 *
 * Here belongs what is a pure function of bytes and keys, with Node's own `crypto` below: no image, no file, no
 * graph. Here does not belong where a header lies or who may use a secret (drivers, core/block/objects).
 */
export { Secret } from './secret.ts';
