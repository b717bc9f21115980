/** What server and client have agreed on so far, and the replies to options. */
import { encodeOptionReply, Limit, type ReplyForm } from '../nbd/index.ts';
import type { Export } from './export.ts';
import type { MetaContext } from './meta-contexts.ts';
import type { Channel } from './nbd-channel.ts';
import type { Session } from './nbd-session.ts';
import type { ServerCredentials } from './server-credentials.ts';

/** What a server offers to a client that negotiates. */
export interface Offer {
  readonly exports: ReadonlyMap<string, Export>;
  readonly credentials: ServerCredentials | undefined;
  /** Several connections at once are possible. */
  readonly multiConn: boolean;
}

/** What has been agreed on so far. STARTTLS begins it anew. */
export interface Negotiation {
  readonly offer: Offer;
  channel: Channel;
  /** The client reads errors in reply to options. */
  readonly fixed: boolean;
  /** The answer to EXPORT_NAME is followed by zeroes. */
  readonly zeroes: boolean;
  encrypted: boolean;
  form: ReplyForm;
  /** Contexts of the last SET_META_CONTEXT, and the export it was about. */
  selected: { readonly target: Export; readonly contexts: readonly MetaContext[] } | undefined;
  /** Set at the end: what the transmission phase works with. */
  session: Session | undefined;
  /** The client wants no more. */
  aborted: boolean;
}

/** An option is refused with this reply; the negotiation goes on. */
export class OptionRefused extends Error {
  readonly type: number;

  constructor(type: number, message: string) {
    super(message);
    this.type = type;
  }
}

/** Queue a reply to an option; errors carry a text for the user. */
export function reply({ channel }: Negotiation, option: number, type: number, data?: Uint8Array | string): void {
  const bytes = typeof data === 'string' ? Buffer.from(data).subarray(0, Limit.STRING) : data;
  channel.sender.append(encodeOptionReply(option, type, bytes));
}
