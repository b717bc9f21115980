/** The first messages of a connection ("Newstyle negotiation"), and the options that follow, one by one. */
import { BlockError } from '../errors/block-error.ts';
import {
  BadOption,
  ClientFlag,
  ConnectionLost,
  decodeOptionHeader,
  encodeGreeting,
  HandshakeFlag,
  Limit,
  Option,
  type OptionHeader,
  OptionReply,
  optionName,
  Size,
} from '../nbd/index.ts';
import type { Channel } from './nbd-channel.ts';
import { type Negotiation, type Offer, OptionRefused, reply } from './nbd-negotiation.ts';
import { handlers, type OptionHandler } from './nbd-options.ts';

/** Unsent replies to options that a client may pile up, in bytes. */
const MAX_UNREAD = 64 * 1024;

/** Negotiate with a client: the session it wants, or undefined when it left in an orderly way. */
export async function negotiate(channel: Channel, offer: Offer): Promise<Negotiation> {
  const negotiation = await greet(channel, offer);
  while (negotiation.session === undefined && !negotiation.aborted) await oneOption(negotiation);
  return negotiation;
}

async function greet(channel: Channel, offer: Offer): Promise<Negotiation> {
  const { reader, sender } = channel;
  sender.append(encodeGreeting(HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES));
  sender.flush();
  const bytes = await reader.readExactly(Size.CLIENT_FLAGS, 'the client flags', Size.CLIENT_FLAGS);
  const flags = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  const unknown = flags & ~(ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES);
  if (unknown !== 0) {
    throw new BlockError(`the client sets unknown flags 0x${(unknown >>> 0).toString(16)}`, { code: 'EPROTO' });
  }
  return {
    offer,
    channel,
    fixed: (flags & ClientFlag.FIXED_NEWSTYLE) !== 0,
    zeroes: (flags & ClientFlag.NO_ZEROES) === 0,
    encrypted: false,
    form: 'simple',
    selected: undefined,
    session: undefined,
    aborted: false,
  };
}

async function oneOption(negotiation: Negotiation): Promise<void> {
  const { reader, sender } = negotiation.channel;
  let bytes: Uint8Array;
  try {
    bytes = await reader.readExactly(Size.OPTION_HEADER, 'an option', Size.OPTION_HEADER);
  } catch (error) {
    // Leaving between two options is how many clients end a look around.
    if (error instanceof ConnectionLost && error.clean) negotiation.aborted = true;
    else throw error;
    return;
  }
  const header = decodeOptionHeader(bytes);
  if (header.length > Limit.OPTION) {
    throw new BlockError(`${optionName(header.option)} has ${header.length} bytes, the limit is ${Limit.OPTION}`, {
      code: 'EPROTO',
    });
  }
  await answer(negotiation, header);
  const { channel } = negotiation;
  channel.sender.flush();
  if (channel === negotiation.channel && sender.pending >= MAX_UNREAD) await sender.room(MAX_UNREAD);
}

/** Let the handler of the option answer; an error that can be told to the client is its answer. */
async function answer(negotiation: Negotiation, { option, length }: OptionHeader): Promise<void> {
  if (!negotiation.fixed && option !== Option.EXPORT_NAME) {
    throw new BlockError(`${optionName(option)} from a client that knows EXPORT_NAME only`, { code: 'EPROTO' });
  }
  const handler = handlers.get(option);
  const data = await takeData(negotiation, handler, { option, length });
  try {
    if (needsTls(negotiation) && !handler?.beforeTls) {
      throw new OptionRefused(OptionReply.ERR_TLS_REQD, 'this server needs TLS');
    }
    if (!handler) throw new OptionRefused(OptionReply.ERR_UNSUP, 'the option is not supported');
    if (!data && !handler.ignoresData) {
      const type = handler.mostData === 0 ? OptionReply.ERR_INVALID : OptionReply.ERR_TOO_BIG;
      throw new OptionRefused(type, `${length} bytes of data are more than the option takes`);
    }
    await handler.run(negotiation, option, data ?? new Uint8Array(0));
  } catch (error) {
    // EXPORT_NAME has no way to tell: "the server MUST terminate the session".
    if (option === Option.EXPORT_NAME) throw error;
    if (error instanceof OptionRefused) reply(negotiation, option, error.type, error.message);
    else if (error instanceof BadOption) reply(negotiation, option, badOptionReply(error), error.message);
    else throw error;
  }
}

/** The data of an option; undefined when it is too long for any use, and passed over. */
async function takeData(
  { channel: { reader } }: Negotiation,
  handler: OptionHandler | undefined,
  { option, length }: OptionHeader,
): Promise<Uint8Array | undefined> {
  const what = `the data of ${optionName(option)}`;
  const most = handler?.mostData ?? 0;
  if (length <= most) return reader.readExactly(length, what, most);
  await reader.skip(length, what);
  return undefined;
}

function badOptionReply({ tooBig }: BadOption): number {
  return tooBig ? OptionReply.ERR_TOO_BIG : OptionReply.ERR_INVALID;
}

function needsTls({ offer, encrypted }: Negotiation): boolean {
  return offer.credentials?.mode === 'required' && !encrypted;
}
