/** A client of a session within this process: what it sends arrives byte for byte, what comes back is parsed. */
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import { checkShape } from '../../../src/core/qmp/check-shape.ts';
import { allCommands } from '../../../src/core/qmp/commands/index.ts';
import { DriverTypes } from '../../../src/core/qmp/driver-types.ts';
import { eventTable } from '../../../src/core/qmp/events.ts';
import { BlockService, Session } from '../../../src/core/qmp/index.ts';
import { driverList } from '../../../src/drivers/index.ts';

const types = await new DriverTypes(driverList).all();
const returns = new Map(allCommands.map(({ name, returns: shape }) => [name, shape]));

export interface Message {
  readonly QMP?: unknown;
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
  readonly event?: string;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly id?: unknown;
}

export class Client {
  readonly messages: Message[] = [];
  readonly session: Session;
  ended = false;
  #waiting: (() => void)[] = [];
  #nextId = 1;
  /** Messages whose form has been looked at, unless somebody has taken them away. */
  #checked = 0;

  constructor(service: BlockService) {
    this.session = new Session(service, {
      write: (text) => {
        for (const line of text.split('\r\n')) if (line !== '') this.messages.push(JSON.parse(line) as Message);
        for (const wake of this.#waiting.splice(0)) wake();
      },
      unread: 0,
      pause: () => undefined,
      resume: () => undefined,
      end: () => {
        this.ended = true;
        for (const wake of this.#waiting.splice(0)) wake();
      },
    });
  }

  send(text: string | Uint8Array): void {
    this.session.receive(typeof text === 'string' ? Buffer.from(text) : text);
  }

  /** The first message for which `wanted` holds, now or later. */
  async until(wanted: (message: Message) => boolean): Promise<Message> {
    for (;;) {
      const found = this.messages.find(wanted);
      if (found) return found;
      if (this.ended) throw new Error(`the session ended: ${JSON.stringify(this.messages.slice(-3))}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** The answer to a command, whatever it is. */
  ask(execute: string, args?: object): Promise<Message> {
    const id = `c${this.#nextId++}`;
    this.send(JSON.stringify({ execute, id, ...(args ? { arguments: args } : {}) }));
    return this.until((message) => message.id === id);
  }

  /** What a command returns; throws its error. It, and events up to it, are of the types that the introspection says. */
  async run<T = unknown>(execute: string, args?: object): Promise<T> {
    const answer = await this.ask(execute, args);
    if (answer.error) throw new Error(`${execute}: ${answer.error.desc}`);
    this.#check(execute, answer.return);
    return answer.return as T;
  }

  #check(execute: string, answer: unknown): void {
    const shape = returns.get(execute);
    if (shape) checkShape(shape, answer, types, `the answer to ${execute}`);
    for (const { event = '', data = {} } of this.messages.slice(this.#checked)) {
      const told = eventTable.get(event)?.data;
      if (told) checkShape(told, data, types, `the event ${event}`);
    }
    this.#checked = this.messages.length;
  }

  /** The text of the error that a command ends with. */
  async refusal(execute: string, args?: object): Promise<string> {
    const answer = await this.ask(execute, args);
    if (!answer.error) throw new Error(`${execute} was not refused but returned ${JSON.stringify(answer.return)}`);
    return answer.error.desc;
  }

  event(name: string, matches: (data: Readonly<Record<string, unknown>>) => boolean = () => true): Promise<Message> {
    return this.until((message) => message.event === name && matches(message.data ?? {}));
  }
}

export interface Scene extends AsyncDisposable {
  readonly service: BlockService;
  readonly client: Client;
  /** Reasons of `quit`. */
  readonly quits: string[];
}

/** A service with one client that has negotiated. */
export async function scene(): Promise<Scene> {
  const quits: string[] = [];
  const service = new BlockService({
    graph: new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined }),
    jobs: new JobList(),
    version: { qemu: { major: 10, minor: 0, micro: 0 }, package: 'test' },
    quit: (reason) => quits.push(reason),
  });
  const client = new Client(service);
  await client.run('qmp_capabilities');
  return {
    service,
    client,
    quits,
    async [Symbol.asyncDispose]() {
      client.session.end();
      await service.close();
    },
  };
}
