/** What the protocol says of a request before anything is done about it ("Request types", "Error values"). */
import { Command, CommandFlag, commandName, NbdError, type NbdErrorNumber, type RequestHeader } from '../nbd/index.ts';
import type { Session } from './nbd-session.ts';

export interface Refusal {
  readonly error: NbdErrorNumber;
  readonly message: string;
}

interface CommandRule {
  /** Flags that it takes beside FUA, which every command does. */
  readonly flags: number;
  /** It needs an export that is not read-only. */
  readonly writes?: true;
  /** It is about a range of the export. */
  readonly ranged?: true;
  /** The length is that of a payload, one way or the other. */
  readonly payload?: true;
  /** Error for a range that ends past the export. */
  readonly beyond?: NbdErrorNumber;
}

const { DF, FAST_ZERO, FUA, NO_HOLE, PAYLOAD_LEN, REQ_ONE } = CommandFlag;

const RULES: ReadonlyMap<number, CommandRule> = new Map<number, CommandRule>([
  [Command.READ, { flags: DF, ranged: true, payload: true }],
  [Command.WRITE, { flags: PAYLOAD_LEN, writes: true, ranged: true, payload: true, beyond: NbdError.ENOSPC }],
  [Command.FLUSH, { flags: 0 }],
  [Command.TRIM, { flags: 0, writes: true, ranged: true }],
  [Command.CACHE, { flags: 0, ranged: true, payload: true }],
  [Command.WRITE_ZEROES, { flags: NO_HOLE | FAST_ZERO, writes: true, ranged: true, beyond: NbdError.ENOSPC }],
  [Command.BLOCK_STATUS, { flags: REQ_ONE | PAYLOAD_LEN, ranged: true }],
]);

/** Why `request` cannot be carried out; undefined when it can. `length` is how much of the export it is about. */
export function refusal(request: RequestHeader, length: number, session: Session): Refusal | undefined {
  const { command, flags } = request;
  const rule = RULES.get(command);
  if (rule === undefined) return refuse(`${commandName(command)} is not supported`);
  const known = rule.flags & usable(session.form);
  if ((flags & ~(known | FUA)) !== 0) {
    return refuse(`flags 0x${(flags & ~(known | FUA)).toString(16)} do not go with ${commandName(command)}`);
  }
  if (session.form === 'extended' && command === Command.WRITE && (flags & PAYLOAD_LEN) === 0) {
    return refuse('a write without PAYLOAD_LEN has no data');
  }
  if (rule.writes && session.target.readOnly) return refuse('the export is read-only', NbdError.EPERM);
  return rule.ranged ? rangeRefusal(request, length, rule, session) : undefined;
}

/** Flags that make sense in this form of the protocol. */
function usable(form: Session['form']): number {
  if (form === 'simple') return ~(DF | PAYLOAD_LEN | REQ_ONE);
  return form === 'structured' ? ~PAYLOAD_LEN : -1;
}

function rangeRefusal(
  { offset, command }: RequestHeader,
  length: number,
  rule: CommandRule,
  session: Session,
): Refusal | undefined {
  const { size, minimumBlock, maximumPayload, form, contexts } = session;
  if (rule.payload && length > maximumPayload) {
    const error = command !== Command.WRITE && form !== 'simple' ? NbdError.EOVERFLOW : NbdError.EINVAL;
    return refuse(`${length} bytes are more than the limit of ${maximumPayload} for one request`, error);
  }
  if (offset + length > size) {
    return refuse(`the request ends past the export of ${size} bytes`, rule.beyond ?? NbdError.EINVAL);
  }
  if (minimumBlock > 1 && (offset % minimumBlock !== 0 || (length % minimumBlock !== 0 && offset + length !== size))) {
    return refuse(`the request is not aligned to blocks of ${minimumBlock} bytes`);
  }
  if (command !== Command.BLOCK_STATUS) return undefined;
  if (contexts.length === 0) return refuse('no metadata context was negotiated');
  return length === 0 ? refuse('block status of no bytes') : undefined;
}

function refuse(message: string, error: NbdErrorNumber = NbdError.EINVAL): Refusal {
  return { error, message };
}
