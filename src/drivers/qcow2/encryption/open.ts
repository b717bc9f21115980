/** Opening the encryption of an image: its key, from the password that the options name. */
import type { OpenContext } from '../../../core/block/driver.ts';
import type { Edge } from '../../../core/block/graph/edge.ts';
import { type HeaderArea, ivGenerator, LuksVolume, SectorCipher } from '../../../core/crypto/index.ts';
import { CorruptImage, Usage } from '../../../core/errors/block-error.ts';
import { decodeCryptoExtension, type Extension, ExtensionType, findExtension } from '../meta/extensions.ts';
import { Crypt, type Header } from '../meta/header.ts';
import type { Qcow2Options } from '../options.ts';

/** What is known of the encryption of an open image. */
export interface Encryption {
  readonly format: 'aes' | 'luks';
  /** The header with the key slots; of LUKS. */
  readonly volume?: LuksVolume;
  /** Absent when only the header is looked at. */
  readonly cipher?: SectorCipher;
  readonly password?: Uint8Array;
}

interface Place {
  readonly header: Header;
  readonly extensions: readonly Extension[];
  readonly file: Edge;
}

/** @throws BlockError for options that do not fit the image, a password that is missing or wrong. */
export async function openEncryption(
  context: OpenContext<Qcow2Options>,
  place: Place,
): Promise<Encryption | undefined> {
  const { fileName, modes, options } = context;
  const format = formatOf(place.header);
  const wanted = options.encrypt?.format;
  if (format === undefined) {
    if (options.encrypt === undefined) return undefined;
    throw new Usage(`'${fileName}' is not encrypted: the options 'encrypt' have no meaning`);
  }
  if (wanted !== undefined && wanted !== format) {
    throw new Usage(`'${fileName}' is encrypted as ${format}, not as encrypt.format=${wanted} says`);
  }
  const volume = format === 'luks' ? await LuksVolume.open(luksArea(place, fileName), fileName) : undefined;
  const known = { format, ...(volume ? { volume } : {}) };
  if (modes.noIo) return known;
  const id = options.encrypt?.['key-secret'];
  if (id === undefined) {
    throw new Usage("the image is encrypted: option 'encrypt.key-secret' is required", {
      hint: 'Define the password with --object secret,id=ID,file=… and open the image with --image-opts',
    });
  }
  const password = context.object('secret', id).bytes;
  const cipher = volume ? volume.cipher(await volume.unlock(password)) : legacyCipher(password);
  return { ...known, cipher, password };
}

function formatOf({ cryptMethod }: Header): Encryption['format'] | undefined {
  if (cryptMethod === Crypt.NONE) return undefined;
  return cryptMethod === Crypt.AES ? 'aes' : 'luks';
}

function luksArea({ header, extensions, file }: Place, fileName: string): HeaderArea {
  const data = findExtension(extensions, ExtensionType.CRYPTO);
  if (data === undefined) throw new CorruptImage(`'${fileName}' is encrypted, but has no pointer to a LUKS header`);
  const { offset, length } = decodeCryptoExtension(data, 2 ** header.clusterBits, fileName);
  if (offset + length > file.size) {
    throw new CorruptImage(
      `'${fileName}': the LUKS header ends at ${offset + length}, past the end of the file at ${file.size}`,
    );
  }
  return areaAt(file, offset, length);
}

/** `length` bytes of `file` from `offset` on, as the place of a header. */
export function areaAt(file: Edge, offset: number, length: number): HeaderArea {
  return {
    length,
    read: (at, buf) => file.read(offset + at, buf),
    write: (at, buf) => file.write(offset + at, buf),
    flush: () => file.flush(),
  };
}

const LEGACY_KEY_BYTES = 16;

/** AES-128 in CBC mode; the password, cut or filled up with zeroes, is the key (qcow2 specification, "crypt_method"). */
function legacyCipher(password: Uint8Array): SectorCipher {
  const key = new Uint8Array(LEGACY_KEY_BYTES);
  key.set(password.subarray(0, LEGACY_KEY_BYTES));
  return new SectorCipher({ mode: 'cbc', key, iv: ivGenerator('plain64', { key, hash: undefined }) });
}
