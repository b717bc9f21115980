/**
 * Generic netlink: how drivers of the kernel are asked for things (netlink(7), linux/genetlink.h). A request is a header,
 * a command and attributes; the kernel carries it out while it is sent, and its answers lie there afterwards.
 */
import { closeSync, read, write } from 'node:fs';
import { constants } from 'node:os';
import { promisify } from 'node:util';
import { alignUp } from '../bytes/ranges.ts';
import { NotSupported } from '../errors/block-error.ts';
import { hostError } from './errno.ts';
import { libc, negativeErrno } from './libc.ts';
import { SOCK_CLOEXEC } from './sockets.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_GENERIC = 16;

/** `struct nlmsghdr` (length, type, flags, sequence number, port), then `struct genlmsghdr` (command, version). */
const HEADER = 16;
const GENERIC_HEADER = 4;
const FLAG_REQUEST = 1;
const FLAG_ACK = 4;
/** Type of the message that ends an answer: a negated errno, or 0. */
const TYPE_ERROR = 2;

/** The controller, which knows the families: of fixed number, others get theirs when their driver is loaded. */
const CONTROLLER = { type: 16, getFamily: 3, familyId: 1, familyName: 2 } as const;

/** Bit of an attribute's type that says it is made of attributes. */
const NESTED = 0x8000;
const ATTRIBUTE_HEADER = 4;
const ALIGNMENT = 4;
const MAX_ANSWER = 16 * 1024;

const writeFd = promisify(write);
const readFd = promisify(read);

export type Attributes = ReadonlyMap<number, Buffer>;

/** A connection to the driver whose family has this name. */
export class GenericNetlink {
  readonly #fd: number;
  readonly #type: number;
  #sequence = 0;

  private constructor(fd: number, type: number) {
    this.#fd = fd;
    this.#type = type;
  }

  /** Undefined where no driver has a family of this name: it is not loaded, or hidden from this network namespace. */
  static async open(family: string): Promise<GenericNetlink | undefined> {
    const call = libc('socket');
    if (call === undefined) throw new NotSupported('this system has no netlink sockets that can be used');
    const fd = call(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
    if (fd < 0) throw hostError('make', 'a netlink socket', negativeErrno());
    const controller = new GenericNetlink(fd, CONTROLLER.type);
    try {
      const name = stringAttribute(CONTROLLER.familyName, family);
      const answer = await controller.request(CONTROLLER.getFamily, [name]);
      const id = typeof answer === 'number' ? undefined : answer.get(CONTROLLER.familyId);
      if (id !== undefined) return new GenericNetlink(fd, id.readUInt16LE());
      if (answer !== -constants.errno.ENOENT) throw hostError('look up', `netlink family ${family}`, answer);
    } catch (error) {
      controller.close();
      throw error;
    }
    controller.close();
    return undefined;
  }

  /** What the driver answers: attributes, or a negated errno. */
  async request(command: number, attributes: readonly Uint8Array[]): Promise<Attributes | number> {
    const sequence = ++this.#sequence;
    await writeFd(this.#fd, this.#message(command, sequence, attributes));
    let found: Attributes = new Map();
    const answer = Buffer.alloc(MAX_ANSWER);
    for (;;) {
      const { bytesRead } = await readFd(this.#fd, answer, 0, answer.length, null);
      for (const { type, number, body } of messages(answer.subarray(0, bytesRead))) {
        if (number !== sequence) continue;
        if (type === TYPE_ERROR) return body.readInt32LE() || found;
        // A copy: what ends the answer comes into the same memory.
        found = attributesOf(Buffer.from(body.subarray(GENERIC_HEADER)));
      }
    }
  }

  #message(command: number, sequence: number, attributes: readonly Uint8Array[]): Buffer {
    const message = Buffer.concat([Buffer.alloc(HEADER + GENERIC_HEADER), ...attributes]);
    message.writeUInt32LE(message.length, 0);
    message.writeUInt16LE(this.#type, 4);
    message.writeUInt16LE(FLAG_REQUEST | FLAG_ACK, 6);
    message.writeUInt32LE(sequence, 8);
    message.writeUInt8(command, HEADER);
    message.writeUInt8(1, HEADER + 1);
    return message;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function* messages(bytes: Buffer): Generator<{ type: number; number: number; body: Buffer }> {
  for (let at = 0; at + HEADER <= bytes.length; ) {
    const length = Math.max(bytes.readUInt32LE(at), HEADER);
    yield {
      type: bytes.readUInt16LE(at + 4),
      number: bytes.readUInt32LE(at + 8),
      body: bytes.subarray(at + HEADER, at + length),
    };
    at += alignUp(length, ALIGNMENT);
  }
}

function attributesOf(bytes: Buffer): Attributes {
  const found = new Map<number, Buffer>();
  for (let at = 0; at + ATTRIBUTE_HEADER <= bytes.length; ) {
    const length = Math.max(bytes.readUInt16LE(at), ATTRIBUTE_HEADER);
    found.set(bytes.readUInt16LE(at + 2) & ~NESTED, bytes.subarray(at + ATTRIBUTE_HEADER, at + length));
    at += alignUp(length, ALIGNMENT);
  }
  return found;
}

export function stringAttribute(type: number, text: string): Buffer {
  return attribute(type, Buffer.from(`${text}\0`));
}

export function numberAttribute(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return attribute(type, bytes);
}

export function longAttribute(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return attribute(type, bytes);
}

export function nestedAttribute(type: number, ...parts: readonly Uint8Array[]): Buffer {
  return attribute(type | NESTED, Buffer.concat(parts));
}

function attribute(type: number, content: Uint8Array): Buffer {
  const bytes = Buffer.alloc(alignUp(ATTRIBUTE_HEADER + content.length, ALIGNMENT));
  bytes.writeUInt16LE(ATTRIBUTE_HEADER + content.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(content, ATTRIBUTE_HEADER);
  return bytes;
}
