/**
 * The negotiation, from the greeting to the transmission ("Handshake").
 *
 * Order for a fixed newstyle server: STARTTLS where credentials are given, EXTENDED_HEADERS, else STRUCTURED_REPLY,
 * SET_META_CONTEXT, GO; a server that does not know GO is asked for its list of exports, since EXPORT_NAME cannot
 * tell why it fails. Newstyle and oldstyle servers are understood too, without any of that.
 */
import type { TlsClient } from '../../crypto/tls-credentials.ts';
import { BlockError, NotSupported } from '../../errors/block-error.ts';
import { ClientFlag, Context, HandshakeFlag, Magic, Option, OptionReply, Size } from '../constants.ts';
import { type BlockSizes, broken, type ExportInfo, exportSize } from './option-codec.ts';
import { OptionRefused, OptionTalk, usableFlags } from './option-talk.ts';
import type { Transport } from './transport.ts';

/** How requests and replies look after the negotiation. */
export type ReplyMode = 'simple' | 'structured' | 'extended';

export interface TlsSettings {
  readonly client: TlsClient;
  /** Name that the server's certificate must be for; undefined when that is not checked. */
  readonly hostname: string | undefined;
}

export interface NegotiationSettings {
  readonly exportName: string;
  readonly tls?: TlsSettings | undefined;
  /** Metadata context that status comes from instead of `base:allocation`; it must be there. */
  readonly context?: string | undefined;
}

export interface Negotiated {
  /** Length of the export in bytes. */
  readonly size: number;
  /** {@link ExportFlag}. */
  readonly flags: number;
  readonly mode: ReplyMode;
  /** Id of the metadata context to ask for status; undefined when there is none. */
  readonly contextId: number | undefined;
  readonly blockSizes: BlockSizes | undefined;
  readonly description: string | undefined;
}

/** Bring `transport` to its transmission phase. @throws BlockError; the connection is of no use then. */
export async function negotiate(transport: Transport, settings: NegotiationSettings): Promise<Negotiated> {
  const greeting = await greet(transport);
  if (greeting.style === 'oldstyle') return oldstyle(greeting.info, settings);
  if (!greeting.fixed) return newstyle(transport, greeting, settings);
  const talk = new OptionTalk(transport);
  await startTls(transport, talk, settings.tls);
  const mode = await replyMode(talk);
  const contextId = mode === 'simple' ? undefined : await selectContext(talk, settings);
  if (settings.context !== undefined && contextId === undefined) {
    throw new BlockError(`the server has no metadata context '${settings.context}'`, { code: 'ENOENT' });
  }
  const info =
    (await talk.info(Option.GO, settings.exportName)) ?? (await goOldWay(talk, greeting, { mode, settings }));
  return result(info, mode, contextId);
}

/** What a server says first. */
export type Greeting =
  | { readonly style: 'newstyle'; readonly fixed: boolean; readonly zeroes: boolean }
  | { readonly style: 'oldstyle'; readonly info: ExportInfo };

/** Read the greeting and answer it. */
export async function greet(transport: Transport): Promise<Greeting> {
  const { reader } = transport;
  const bytes = await reader.readExactly(MAGICS, 'the greeting of the server', MAGICS);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getBigUint64(0) !== Magic.INIT) throw new BlockError('this is no NBD server', { code: 'EPROTO' });
  const style = view.getBigUint64(8);
  if (style === Magic.OLDSTYLE) return { style: 'oldstyle', info: await oldExport(transport) };
  if (style !== Magic.OPTION) throw broken(`the greeting goes on with 0x${style.toString(16)}`);
  const flags = await reader.readExactly(2, 'the handshake flags', 2);
  const offered = ((flags[0] ?? 0) << 8) | (flags[1] ?? 0);
  const fixed = (offered & HandshakeFlag.FIXED_NEWSTYLE) !== 0;
  const noZeroes = (offered & HandshakeFlag.NO_ZEROES) !== 0;
  const answer = Buffer.alloc(Size.CLIENT_FLAGS);
  answer.writeUInt32BE((fixed ? ClientFlag.FIXED_NEWSTYLE : 0) | (noZeroes ? ClientFlag.NO_ZEROES : 0));
  transport.write(answer);
  return { style: 'newstyle', fixed, zeroes: !noZeroes };
}

/** Bytes of the two numbers that open the greeting. */
const MAGICS = 16;
/** Size, handshake flags, transmission flags and zeroes. */
const OLD_EXPORT = 8 + 2 + 2 + 124;

async function oldExport(transport: Transport): Promise<ExportInfo> {
  const bytes = await transport.reader.readExactly(OLD_EXPORT, 'the size of the export', OLD_EXPORT);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { size: exportSize(view.getBigUint64(0)), flags: view.getUint16(10) };
}

function oldstyle(info: ExportInfo, settings: NegotiationSettings): Negotiated {
  if (settings.tls) throw noTls();
  if (settings.exportName !== '') {
    throw new NotSupported(`the server knows no names of exports, so '${settings.exportName}' cannot be asked for`);
  }
  refuseContext(settings);
  return result(info, 'simple', undefined);
}

async function newstyle(
  transport: Transport,
  greeting: { readonly zeroes: boolean },
  settings: NegotiationSettings,
): Promise<Negotiated> {
  if (settings.tls) throw noTls();
  refuseContext(settings);
  const info = await new OptionTalk(transport).exportName(settings.exportName, greeting.zeroes);
  return result(info, 'simple', undefined);
}

function refuseContext({ context }: NegotiationSettings): void {
  if (context !== undefined) throw new NotSupported(`the server has no metadata contexts, so no '${context}'`);
}

function noTls(): BlockError {
  return new NotSupported('the server does not support TLS');
}

/** Upgrade the connection when there are credentials: without TLS there is no going on then. */
export async function startTls(transport: Transport, talk: OptionTalk, tls: TlsSettings | undefined): Promise<void> {
  if (!tls) return;
  await talk.demand(Option.STARTTLS, 'TLS');
  await transport.upgrade(tls.client, tls.hostname);
}

/** The best kind of replies that the server has. */
export async function replyMode(talk: OptionTalk): Promise<ReplyMode> {
  if (await talk.accepted(Option.EXTENDED_HEADERS)) return 'extended';
  return (await talk.accepted(Option.STRUCTURED_REPLY)) ? 'structured' : 'simple';
}

async function selectContext(talk: OptionTalk, settings: NegotiationSettings): Promise<number | undefined> {
  const wanted = settings.context ?? Context.ALLOCATION;
  const found = await talk.contexts(Option.SET_META_CONTEXT, settings.exportName, [wanted]);
  const stray = [...found.keys()].find((name) => name !== wanted);
  if (stray !== undefined) throw broken(`metadata context '${stray}' came where '${wanted}' was asked for`);
  return found.get(wanted);
}

/** For servers without GO. The list tells whether the export is there, as far as the server makes one. */
async function goOldWay(
  talk: OptionTalk,
  greeting: { readonly zeroes: boolean },
  { mode, settings }: { readonly mode: ReplyMode; readonly settings: NegotiationSettings },
): Promise<ExportInfo> {
  if (mode === 'extended') throw broken('extended headers without the option GO');
  const { exportName } = settings;
  const list = await talk.list().catch((error: unknown) => {
    if (error instanceof OptionRefused && error.reply !== OptionReply.ERR_TLS_REQD) return undefined;
    throw error;
  });
  if (list && exportName !== '' && !list.some(({ name }) => name === exportName)) {
    throw new BlockError(`export '${exportName}' is not there`, { code: 'ENOENT' });
  }
  return talk.exportName(exportName, greeting.zeroes);
}

function result(info: ExportInfo, mode: ReplyMode, contextId: number | undefined): Negotiated {
  const { size = 0, blockSizes, description } = info;
  const { minimum = 1 } = blockSizes ?? {};
  if (size % minimum !== 0) {
    throw broken(`size of the export ${size} is not a multiple of its minimum block size ${minimum}`);
  }
  return { size, flags: usableFlags(info.flags ?? 0), mode, contextId, blockSizes, description };
}
