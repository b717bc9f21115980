/** What each option of a client does ("Option types"). */
import { BlockError } from '../errors/block-error.ts';
import {
  decodeContextRequest,
  decodeExportName,
  decodeInfoRequest,
  encodeBlockSizes,
  encodeContext,
  encodeExportInfo,
  encodeExportNameReply,
  encodeServerEntry,
  encodeTextInfo,
  Info,
  Limit,
  Option,
  OptionReply,
  type ReplyForm,
} from '../nbd/index.ts';
import type { Export } from './export.ts';
import { listed, type MetaContext } from './meta-contexts.ts';
import { Channel } from './nbd-channel.ts';
import { type Negotiation, OptionRefused, reply } from './nbd-negotiation.ts';
import { plainSession, type Session } from './nbd-session.ts';

export interface OptionHandler {
  /** Longest data it takes, in bytes; longer data is passed over and refused. */
  readonly mostData: number;
  /** Data it does not take is passed over without a word. */
  readonly ignoresData?: true;
  /** Allowed before TLS even where TLS is required. */
  readonly beforeTls?: true;
  run(negotiation: Negotiation, option: number, data: Uint8Array): Promise<void> | void;
}

/** A name, and lists of numbers or queries. */
const LONGEST_REQUEST = 1 << 20;

export const handlers: ReadonlyMap<number, OptionHandler> = new Map<number, OptionHandler>([
  [Option.EXPORT_NAME, { mostData: Limit.STRING, run: exportName }],
  [Option.ABORT, { mostData: 0, ignoresData: true, beforeTls: true, run: abort }],
  [Option.LIST, { mostData: 0, run: list }],
  [Option.STARTTLS, { mostData: 0, beforeTls: true, run: startTls }],
  [Option.INFO, { mostData: LONGEST_REQUEST, run: info }],
  [Option.GO, { mostData: LONGEST_REQUEST, run: info }],
  [Option.STRUCTURED_REPLY, { mostData: 0, run: structuredReply }],
  [Option.LIST_META_CONTEXT, { mostData: LONGEST_REQUEST, run: listContexts }],
  [Option.SET_META_CONTEXT, { mostData: LONGEST_REQUEST, run: setContexts }],
  [Option.EXTENDED_HEADERS, { mostData: 0, run: extendedHeaders }],
]);

function exportName(negotiation: Negotiation, _option: number, data: Uint8Array): void {
  const name = decodeExportName(data);
  if (negotiation.form === 'extended') {
    throw new BlockError('EXPORT_NAME does not go with extended headers', { code: 'EPROTO' });
  }
  const target = exportOf(negotiation, name);
  const session = sessionOn(negotiation, target, 1);
  const flags = exportFlags(negotiation, target, session);
  negotiation.channel.sender.append(encodeExportNameReply(session.size, flags, negotiation.zeroes));
  negotiation.session = session;
}

function abort(negotiation: Negotiation, option: number): void {
  reply(negotiation, option, OptionReply.ACK);
  negotiation.aborted = true;
}

function list(negotiation: Negotiation, option: number): void {
  for (const { name, description } of negotiation.offer.exports.values()) {
    reply(negotiation, option, OptionReply.SERVER, encodeServerEntry(name, description));
  }
  reply(negotiation, option, OptionReply.ACK);
}

async function startTls(negotiation: Negotiation, option: number): Promise<void> {
  const { channel, offer } = negotiation;
  if (negotiation.encrypted) throw new OptionRefused(OptionReply.ERR_INVALID, 'TLS is in use already');
  if (!offer.credentials) throw new OptionRefused(OptionReply.ERR_POLICY, 'this server does not use TLS');
  // What came along with the option came in the clear, from whoever is in between: it must not be taken for what
  // comes encrypted later.
  if (channel.reader.buffered > 0) {
    throw new BlockError('the client sent more before it was told to begin TLS', { code: 'EPROTO' });
  }
  channel.release();
  reply(negotiation, option, OptionReply.ACK);
  channel.sender.flush();
  const socket = await offer.credentials.upgrade(channel.socket);
  negotiation.channel = Channel.on(socket);
  negotiation.encrypted = true;
  // "The server MUST NOT preserve any negotiation state issued before this command".
  negotiation.form = 'simple';
  negotiation.selected = undefined;
}

function info(negotiation: Negotiation, option: number, data: Uint8Array): void {
  const { name, wanted } = decodeInfoRequest(data);
  const target = exportOf(negotiation, name);
  const asked = wanted.has(Info.BLOCK_SIZE);
  const sizes = target.blockSizes;
  const agreed = asked || option === Option.INFO ? sizes.minimum : 1;
  const session = sessionOn(negotiation, target, agreed);
  const tell = (bytes: Uint8Array): void => reply(negotiation, option, OptionReply.INFO, bytes);
  if (wanted.has(Info.NAME)) tell(encodeTextInfo(Info.NAME, target.name));
  if (target.description !== '' || wanted.has(Info.DESCRIPTION)) {
    tell(encodeTextInfo(Info.DESCRIPTION, target.description));
  }
  tell(encodeBlockSizes({ ...sizes, minimum: agreed }));
  tell(encodeExportInfo(session.size, exportFlags(negotiation, target, session, option)));
  if (option === Option.INFO && !asked && sizes.minimum > 1) {
    const why = `ask for block sizes: the smallest block is ${sizes.minimum} bytes`;
    throw new OptionRefused(OptionReply.ERR_BLOCK_SIZE_REQD, why);
  }
  reply(negotiation, option, OptionReply.ACK);
  if (option === Option.GO) negotiation.session = session;
}

function structuredReply(negotiation: Negotiation, option: number): void {
  if (negotiation.form === 'extended') {
    throw new OptionRefused(OptionReply.ERR_EXT_HEADER_REQD, 'extended headers are in use already');
  }
  raise(negotiation, option, 'structured');
}

function extendedHeaders(negotiation: Negotiation, option: number): void {
  raise(negotiation, option, 'extended');
}

function raise(negotiation: Negotiation, option: number, form: ReplyForm): void {
  if (negotiation.form === form) {
    throw new OptionRefused(OptionReply.ERR_INVALID, `${form} replies are in use already`);
  }
  negotiation.form = form;
  reply(negotiation, option, OptionReply.ACK);
}

function listContexts(negotiation: Negotiation, option: number, data: Uint8Array): void {
  const { name, queries } = decodeContextRequest(data);
  const target = exportOf(negotiation, name);
  const found = new Set(
    queries.length === 0 ? target.contexts : queries.flatMap((each) => listed(target.contexts, each)),
  );
  for (const context of target.contexts) {
    // "The metadata context ID in these replies is reserved and SHOULD be set to zero".
    if (found.has(context)) reply(negotiation, option, OptionReply.META_CONTEXT, encodeContext(0, context.name));
  }
  reply(negotiation, option, OptionReply.ACK);
}

function setContexts(negotiation: Negotiation, option: number, data: Uint8Array): void {
  // "Issuing this command replaces all previously-set metadata contexts (including when this command fails)".
  negotiation.selected = undefined;
  const { name, queries } = decodeContextRequest(data);
  if (negotiation.form === 'simple') {
    throw new OptionRefused(OptionReply.ERR_INVALID, 'contexts need structured replies or extended headers');
  }
  const target = exportOf(negotiation, name);
  const contexts: readonly MetaContext[] = target.contexts.filter((context) => queries.includes(context.name));
  for (const { id, name: context } of contexts) {
    reply(negotiation, option, OptionReply.META_CONTEXT, encodeContext(id, context));
  }
  negotiation.selected = { target, contexts };
  reply(negotiation, option, OptionReply.ACK);
}

function exportOf({ offer }: Negotiation, name: string): Export {
  const target = offer.exports.get(name);
  if (!target) throw new OptionRefused(OptionReply.ERR_UNKNOWN, `there is no export '${name}'`);
  return target;
}

function sessionOn(negotiation: Negotiation, target: Export, minimumBlock: number): Session {
  const { form, selected } = negotiation;
  // They hold for the export they were chosen for.
  const contexts = selected?.target === target && form !== 'simple' ? selected.contexts : [];
  return { ...plainSession(target, minimumBlock), form, contexts };
}

function exportFlags({ offer, form }: Negotiation, target: Export, session: Session, option?: number): number {
  const statusPayload = session.contexts.length > 0 || option === Option.INFO;
  return target.flags({ form, multiConn: offer.multiConn, statusPayload });
}
