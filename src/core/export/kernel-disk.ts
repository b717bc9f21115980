/** An export as a disk of this machine: the kernel is one more client of the server, on a socket of its own. */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { alignDown } from '../bytes/ranges.ts';
import { NotSupported } from '../errors/block-error.ts';
import { type NbdDevice, socketPair, withSocketLabel } from '../host/index.ts';
import { SEND_BUFFER } from '../nbd/index.ts';
import type { Export } from './export.ts';
import type { NbdServer } from './nbd-server.ts';

/** The kernel's disks count in blocks of no less, and of no more. */
const SMALLEST_BLOCK = 512;
const LARGEST_BLOCK = 4096;

export interface KernelDiskSettings {
  readonly target: Export;
  readonly device: NbdDevice;
  /** Others than the kernel may be connected too. */
  readonly multiConn: boolean;
  /** Shown with the disk, where the kernel does that. */
  readonly backend?: string | undefined;
  /** What SELinux is to label the sockets between the kernel and the server. */
  readonly label?: string | undefined;
}

export class KernelDisk {
  readonly #device: NbdDevice;
  /** The kernel talks to this server. */
  #served = true;
  #owner: string | undefined;

  private constructor(device: NbdDevice) {
    this.#device = device;
  }

  /** Returns when the disk and its partitions are there. */
  static async connect(server: NbdServer, settings: KernelDiskSettings): Promise<KernelDisk> {
    const disk = new KernelDisk(settings.device);
    await disk.#connect(server, settings);
    try {
      await settings.device.readPartitions();
    } catch (error) {
      await disk.close();
      throw error;
    }
    return disk;
  }

  /**
   * Have everything written that is held back, and take the disk off, unless somebody else has done so already.
   * @throws BlockError where something that was written to the disk could not be stored.
   */
  async close(): Promise<void> {
    const device = this.#device;
    if (device.owner === undefined || device.owner !== this.#owner) return;
    try {
      if (this.#served) await device.flush();
    } finally {
      await device.disconnect();
    }
  }

  async #connect(server: NbdServer, { target, device, multiConn, backend, label }: KernelDiskSettings): Promise<void> {
    const blockSize = Math.max(SMALLEST_BLOCK, target.blockSizes.minimum);
    if (blockSize > LARGEST_BLOCK) {
      const why = `the image takes blocks of ${blockSize} bytes, disks of the kernel ones of up to ${LARGEST_BLOCK}`;
      throw new NotSupported(`Could not connect '${device.path}': ${why}`);
    }
    const [ours, theirs] = withSocketLabel(label, () => socketPair(SEND_BUFFER));
    try {
      void server.attach(target, new Socket({ fd: ours, allowHalfOpen: true }), blockSize).then(() => {
        this.#served = false;
      });
      await device.connect({
        size: alignDown(target.size, blockSize),
        blockSize,
        flags: target.flags({ form: 'simple', multiConn, statusPayload: false }),
        socket: theirs,
        backend,
      });
      this.#owner = device.owner;
    } finally {
      // The kernel has taken a reference of its own; without one, the server sees the end.
      closeSync(theirs);
    }
  }
}
