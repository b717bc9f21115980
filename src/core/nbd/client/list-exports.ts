/** What a server has to offer: its exports with all it tells of each, as `nbd --list` shows them. */
import { NotSupported } from '../../errors/block-error.ts';
import { Option } from '../constants.ts';
import { type ConnectSettings, withTransport } from './connect.ts';
import { greet, type ReplyMode, replyMode, startTls } from './negotiation.ts';
import type { BlockSizes } from './option-codec.ts';
import { OptionRefused, OptionTalk, usableFlags } from './option-talk.ts';
import type { Transport } from './transport.ts';

export interface ExportDescription {
  readonly name: string;
  readonly description: string | undefined;
  /** Length in bytes; undefined where the server does not tell before the transmission. */
  readonly size: number | undefined;
  /** {@link ExportFlag}, with that size. */
  readonly flags: number | undefined;
  readonly blockSizes: BlockSizes | undefined;
  readonly mode: ReplyMode;
  /** Names of metadata contexts. */
  readonly contexts: readonly string[];
}

export type ListSettings = Pick<ConnectSettings, 'address' | 'signal' | 'timeout' | 'tls'>;

/** All exports of the server at an address. */
export function listExports(settings: ListSettings): Promise<readonly ExportDescription[]> {
  return withTransport(settings, async (transport) => {
    const exports = await describeExports(transport, settings);
    await transport.close();
    return exports;
  });
}

async function describeExports(transport: Transport, { tls }: ListSettings): Promise<readonly ExportDescription[]> {
  const greeting = await greet(transport);
  if (greeting.style === 'oldstyle') {
    if (tls) throw new NotSupported('the server does not support TLS');
    const { size, flags = 0 } = greeting.info;
    const mode = 'simple';
    return [
      { name: '', description: undefined, size, flags: usableFlags(flags), blockSizes: undefined, mode, contexts: [] },
    ];
  }
  if (!greeting.fixed) throw new NotSupported('the server is too old to list its exports');
  const talk = new OptionTalk(transport);
  await startTls(transport, talk, tls);
  const mode = await replyMode(talk);
  const list = await talk.list();
  if (!list) throw new NotSupported('the server does not list its exports');
  const found: ExportDescription[] = [];
  for (const listed of list) found.push(await describe(talk, listed, mode));
  talk.abort();
  return found;
}

/** An export may be gone since it was listed, or not be for us; it is shown with what the list says then. */
async function describe(
  talk: OptionTalk,
  { name, description }: { readonly name: string; readonly description: string },
  mode: ReplyMode,
): Promise<ExportDescription> {
  const info = await talk.info(Option.INFO, name).catch((error: unknown) => {
    if (error instanceof OptionRefused) return undefined;
    throw error;
  });
  const contexts = info && mode !== 'simple' ? await talk.contexts(Option.LIST_META_CONTEXT, name, []) : new Map();
  return {
    name,
    description: info?.description || description || undefined,
    size: info?.size,
    flags: info?.flags === undefined ? undefined : usableFlags(info.flags),
    blockSizes: info?.blockSizes,
    mode,
    contexts: [...contexts.keys()],
  };
}
