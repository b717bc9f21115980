/** Options of making a LUKS volume and of changing its passwords, for every driver that has one. */
import { BlockError, NotSupported, Usage } from '../../errors/block-error.ts';
import { choice, integer, secretId, text } from '../../options/fields.ts';
import type { Secret } from '../secret.ts';
import { cipherNames, foreignCiphers, foreignHashes, foreignModes, hashNames, ivNames, modeNames } from './ciphers.ts';
import { SLOTS, SlotState } from './header.ts';
import type { LuksVolume, NewVolume } from './volume.ts';

const DEFAULT_ITER_TIME = 2000;
const MAX_ITER_TIME = 2 ** 32 - 1;
const iterTime = () => integer({ help: 'Time to spend in PBKDF in milliseconds', min: 0, max: MAX_ITER_TIME });

/** Names that are known and cannot be computed are let through the schema, so that they are told apart from typos. */
export const luksCreateFields = {
  'cipher-alg': choice([...cipherNames, ...foreignCiphers], { help: 'Name of encryption cipher algorithm' }),
  'cipher-mode': choice([...modeNames, ...foreignModes], { help: 'Name of encryption cipher mode' }),
  'hash-alg': choice([...hashNames, ...foreignHashes], { help: 'Name of encryption hash algorithm' }),
  'iter-time': iterTime(),
  'ivgen-alg': choice(ivNames, { help: 'Name of IV generator algorithm' }),
  'ivgen-hash-alg': choice([...hashNames, ...foreignHashes], { help: 'Name of IV generator hash algorithm' }),
  'key-secret': secretId({ help: 'ID of the secret that provides the keyslot passphrase' }),
};

/** Order of these on the line that `create` prints. */
export const LUKS_DISPLAY_ORDER: readonly (keyof typeof luksCreateFields)[] = [
  'key-secret',
  'cipher-alg',
  'cipher-mode',
  'ivgen-alg',
  'ivgen-hash-alg',
  'hash-alg',
  'iter-time',
];

export interface LuksCreateOptions {
  readonly 'cipher-alg'?: string | undefined;
  readonly 'cipher-mode'?: string | undefined;
  readonly 'hash-alg'?: string | undefined;
  readonly 'iter-time'?: number | undefined;
  readonly 'ivgen-alg'?: string | undefined;
  readonly 'ivgen-hash-alg'?: string | undefined;
}

/** With defaults. @throws NotSupported for algorithms that are known but not there. */
export function newVolume(options: LuksCreateOptions): NewVolume {
  const {
    'cipher-alg': cipher = 'aes-256',
    'cipher-mode': mode = 'xts',
    'hash-alg': hash = 'sha256',
    'ivgen-alg': iv = 'plain64',
    'ivgen-hash-alg': ivHash = iv === 'essiv' ? 'sha256' : undefined,
    'iter-time': time = DEFAULT_ITER_TIME,
  } = options;
  refuseForeign('cipher-alg', cipher, foreignCiphers);
  refuseForeign('cipher-mode', mode, foreignModes);
  refuseForeign('hash-alg', hash, foreignHashes);
  refuseForeign('ivgen-hash-alg', ivHash ?? '', foreignHashes);
  return { cipher, mode, iv, ivHash, hash, iterTime: time };
}

function refuseForeign(option: string, value: string, foreign: readonly string[]): void {
  if (!foreign.includes(value)) return;
  throw new NotSupported(`${option} '${value}' is not supported: it cannot be computed here`, {
    hint: 'The cryptography of Node has aes in the modes xts, cbc and ecb, and the hashes md5 to sha512 and ripemd160',
  });
}

/** Changing key slots: what `amend` takes. */
export const luksAmendFields = {
  'iter-time': iterTime(),
  keyslot: integer({ help: 'Select a single keyslot to modify explicitly' }),
  'new-secret': text({ help: 'New secret to set in the matching keyslots. Empty string to erase' }),
  'old-secret': text({ help: 'Select all keyslots that match this password' }),
  state: choice(['active', 'inactive'], { help: 'Select new state of affected keyslots (active/inactive)' }),
};

export interface LuksAmendOptions {
  readonly 'iter-time'?: number | undefined;
  readonly keyslot?: number | undefined;
  readonly 'new-secret'?: string | undefined;
  readonly 'old-secret'?: string | undefined;
  readonly state?: string | undefined;
}

export interface SlotContext {
  readonly force: boolean;
  /** The password that the image was opened with. */
  readonly password: Uint8Array | undefined;
  secret(id: string): Secret;
}

/** Give a password to the volume or take it away. @throws BlockError */
export async function amendSlots(volume: LuksVolume, options: LuksAmendOptions, context: SlotContext): Promise<void> {
  if (options.state === undefined) throw new Usage("'state' is required: active or inactive");
  const { keyslot } = options;
  if (keyslot !== undefined && (keyslot < 0 || keyslot >= SLOTS)) {
    throw new Usage(`there is no key slot ${keyslot}, only 0 to ${SLOTS - 1}`);
  }
  if (options.state === 'active') await activate(volume, options, context);
  else await deactivate(volume, options, context);
}

async function activate(volume: LuksVolume, options: LuksAmendOptions, context: SlotContext): Promise<void> {
  const { 'new-secret': newId, 'old-secret': oldId, 'iter-time': time = DEFAULT_ITER_TIME, keyslot } = options;
  if (newId === undefined) throw new Usage("'new-secret' is required to make a key slot active");
  const slot = keyslot ?? volume.header.slots.findIndex(({ state }) => state === SlotState.INACTIVE);
  if (slot < 0) throw new BlockError(`all ${SLOTS} key slots are in use`, { code: 'ENOSPC' });
  if (!context.force && volume.activeSlots().includes(slot)) {
    throw new BlockError(`key slot ${slot} is active and would be overwritten`, {
      code: 'EPERM',
      hint: 'Make it inactive first, or use --force',
    });
  }
  const password = oldId === undefined ? context.password : context.secret(oldId).bytes;
  if (password === undefined) throw new Usage("'old-secret' is required: the image was opened without a password");
  const { bytes } = context.secret(newId);
  const masterKey = await volume.unlock(password).catch((cause: unknown) => {
    throw new BlockError('the old password opens no key slot', { code: 'EPERM', cause });
  });
  await volume.setSlot(masterKey, { slot, password: bytes, iterTime: time });
}

async function deactivate(volume: LuksVolume, options: LuksAmendOptions, context: SlotContext): Promise<void> {
  const { 'new-secret': newId, 'old-secret': oldId, 'iter-time': time, keyslot } = options;
  if (newId !== undefined && newId !== '') throw new Usage("'new-secret' is not for making key slots inactive");
  if (time !== undefined) throw new Usage("'iter-time' is not for making key slots inactive");
  const old = oldId === undefined ? undefined : context.secret(oldId).bytes;
  if (keyslot !== undefined) await eraseOne(volume, keyslot, { force: context.force, old });
  else if (old !== undefined) await eraseMatching(volume, old, context.force);
  else throw new Usage("'keyslot' or 'old-secret' is required to say which key slots become inactive");
}

const LAST = { code: 'EPERM', hint: 'Use --force to make the data unreadable for good' } as const;

type Erasing = { readonly force: boolean; readonly old: Uint8Array | undefined };

async function eraseOne(volume: LuksVolume, keyslot: number, { force, old }: Erasing): Promise<void> {
  const active = volume.activeSlots();
  if (!force && !active.includes(keyslot)) throw new BlockError(`key slot ${keyslot} is inactive already`);
  if (old !== undefined && active.includes(keyslot) && !(await volume.matches(keyslot, old))) {
    throw new BlockError(`the old password does not open key slot ${keyslot}`);
  }
  if (!force && active.length === 1) {
    throw new BlockError(`key slot ${keyslot} is the last active one, without it all data is lost`, LAST);
  }
  await volume.eraseSlot(keyslot);
}

async function eraseMatching(volume: LuksVolume, old: Uint8Array, force: boolean): Promise<void> {
  const matching = await volume.matchingSlots(old);
  if (matching.length === 0) {
    throw new BlockError('the old password opens no key slot', { code: 'ENOENT' });
  }
  if (!force && matching.length === volume.activeSlots().length) {
    throw new BlockError('the old password opens all active key slots, without them all data is lost', LAST);
  }
  for (const slot of matching) await volume.eraseSlot(slot);
}
