/**
 * The disks of the kernel's own NBD client, `/dev/nbd0` and so on: which one a path names, and to connect and disconnect
 * them (linux/nbd-netlink.h).
 *
 * Nothing here may wait for such a disk on the thread that serves it: opening it reads its partition table, closing it
 * writes what is cached, and both would wait for this very thread. So it is done on the pool.
 */
import { constants as openFlags, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { sleep } from '../async/sleep.ts';
import { BlockError } from '../errors/block-error.ts';
import { deviceNumbers } from './block-device.ts';
import { hostError, systemCode } from './errno.ts';
import { REQUEST } from './ioctl.ts';
import { inPool, libc } from './libc.ts';
import { GenericNetlink, longAttribute, nestedAttribute, numberAttribute, stringAttribute } from './netlink.ts';

const FAMILY = 'nbd';
const COMMAND = { connect: 1, disconnect: 2 } as const;
const ATTRIBUTE = { index: 1, size: 2, blockSize: 3, serverFlags: 5, sockets: 7, backend: 10 } as const;
/** Within {@link ATTRIBUTE.sockets}: a list of items, each of which holds a descriptor. */
const SOCKET = { item: 1, fd: 1 } as const;

const WITHOUT_DRIVER = 'Load the driver of the kernel with modprobe nbd, or serve with -k SOCKET and use nbdfuse';

/** How often, and how many milliseconds apart, a disk that somebody has open is tried. */
const ATTEMPTS = 20;
const WAIT_MS = 50;

export interface NbdDisk {
  /** Bytes; whole blocks. */
  readonly size: number;
  /** Smallest request, in bytes: a power of two from 512 to a page. */
  readonly blockSize: number;
  /** Transmission flags of the protocol. */
  readonly flags: number;
  /** Descriptor of the socket on which the server answers requests; the kernel takes one of its own. */
  readonly socket: number;
  /** What {@link NbdDevice.backend} is to say. */
  readonly backend?: string | undefined;
}

export class NbdDevice {
  readonly path: string;
  readonly #index: number;

  private constructor(path: string, index: number) {
    this.path = path;
    this.#index = index;
  }

  /** @throws BlockError ENODEV that says what to do, for whatever is no whole disk of this driver. */
  static find(path: string): NbdDevice {
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (!stats?.isBlockDevice()) {
      const what = stats ? 'no block device' : 'not there';
      throw new BlockError(`'${path}' is ${what}`, { code: 'ENODEV', hint: WITHOUT_DRIVER });
    }
    const name = deviceName(stats.rdev);
    const [, index, partition] = /^nbd(\d+)(p\d+)?$/.exec(name) ?? [];
    if (partition !== undefined) {
      throw new BlockError(`'${path}' is a partition, of the disk nbd${index}`, { code: 'ENODEV' });
    }
    if (index === undefined) {
      throw new BlockError(`'${path}' is no disk of the kernel's NBD client`, { code: 'ENODEV', hint: WITHOUT_DRIVER });
    }
    return new NbdDevice(path, Number(index));
  }

  /** The thread that has connected it; undefined when it is not connected. */
  get owner(): string | undefined {
    return this.#attribute('pid');
  }

  /** What was said of who is behind it; undefined where that was nothing, and before Linux 5.15. */
  get backend(): string | undefined {
    return this.#attribute('backend');
  }

  /** @throws BlockError: EBUSY when it is in use, EPERM, ENODEV. */
  async connect({ size, blockSize, flags, socket, backend }: NbdDisk): Promise<void> {
    const attributes = [
      numberAttribute(ATTRIBUTE.index, this.#index),
      longAttribute(ATTRIBUTE.size, size),
      longAttribute(ATTRIBUTE.blockSize, blockSize),
      longAttribute(ATTRIBUTE.serverFlags, flags),
      nestedAttribute(ATTRIBUTE.sockets, nestedAttribute(SOCKET.item, numberAttribute(SOCKET.fd, socket))),
      ...(backend === undefined ? [] : [stringAttribute(ATTRIBUTE.backend, backend)]),
    ];
    for (let attempt = 1; ; attempt++) {
      const result = await request(COMMAND.connect, attributes);
      if (result === 0) return;
      // Also while somebody merely looks at it, as programs do that are told of every disk.
      const passing = result === -constants.errno.EBUSY && this.owner === undefined && attempt < ATTEMPTS;
      if (!passing) throw this.#failed('connect', result);
      await sleep(WAIT_MS);
    }
  }

  /** Take it off, whoever has connected it. One that is not connected stays as it is. */
  async disconnect(): Promise<void> {
    const result = await request(COMMAND.disconnect, [numberAttribute(ATTRIBUTE.index, this.#index)]);
    if (result !== 0) throw this.#failed('disconnect', result);
  }

  /** Have its partition table read, so that the partitions are there. */
  async readPartitions(): Promise<void> {
    await using _ = await this.#open(this.path);
  }

  /**
   * Have the file systems on it and on its partitions write what they hold back, and the page cache.
   * @throws BlockError where the disk did not take something that was written.
   */
  async flush(): Promise<void> {
    const name = this.#name;
    const partitions = readdirSync(`/sys/block/${name}`).filter((each) => each.startsWith(`${name}p`));
    for (const path of [...partitions.map((each) => `/dev/${each}`), this.path]) {
      try {
        await using handle = await this.#open(path);
        const ioctl = libc('ioctl');
        // Of the file systems; what becomes of it the synchronisation says.
        if (ioctl !== undefined) await inPool(ioctl, [handle.fd, REQUEST.blkFlushBuf, 0]);
        await handle.sync();
      } catch (error) {
        // A folder of devices that somebody else fills may lack the partitions.
        if (path !== this.path && systemCode(error) === 'ENOENT') continue;
        throw hostError('write to', path, error);
      }
    }
  }

  /** True when a file system is mounted of it or of a partition, or something else has it for itself. */
  async isTaken(): Promise<boolean> {
    try {
      await using _ = await this.#open(this.path, openFlags.O_RDONLY | openFlags.O_EXCL);
      return false;
    } catch (error) {
      if (systemCode(error) === 'EBUSY') return true;
      throw hostError('open', this.path, error);
    }
  }

  get #name(): string {
    return `nbd${this.#index}`;
  }

  #open(path: string, flags = openFlags.O_RDONLY): Promise<FileHandle> {
    return process.getBuiltinModule('node:fs/promises').open(path, flags);
  }

  #attribute(name: string): string | undefined {
    try {
      return readFileSync(`/sys/block/${this.#name}/${name}`, 'utf8').trim();
    } catch {
      return undefined;
    }
  }

  #failed(action: string, errno: number): BlockError {
    const hints = new Map([
      [-constants.errno.EBUSY, `It is in use; nbd -d ${this.path} takes it off`],
      [-constants.errno.EPERM, 'It takes the rights of root (CAP_SYS_ADMIN)'],
    ]);
    const hint = hints.get(errno);
    return hostError(action, this.path, errno, hint === undefined ? {} : { hint });
  }
}

function deviceName(device: bigint): string {
  const { major, minor } = deviceNumbers(device);
  try {
    return basename(readlinkSync(`/sys/dev/block/${major}:${minor}`));
  } catch {
    return '';
  }
}

/** 0, or a negated errno. */
async function request(command: number, attributes: readonly Uint8Array[]): Promise<number> {
  const driver = await GenericNetlink.open(FAMILY);
  if (driver === undefined) {
    throw new BlockError('the NBD driver of the kernel cannot be reached', {
      code: 'ENODEV',
      hint: 'It takes Linux 4.12 or later, and the network namespace of the machine rather than that of a container',
    });
  }
  try {
    const answer = await driver.request(command, attributes);
    return typeof answer === 'number' ? answer : 0;
  } finally {
    driver.close();
  }
}
