/** `-c` and `-d`: exports as disks of this machine, `/dev/nbd0` and so on. */
import type { Closer } from '../../core/async/closer.ts';
import { sleep } from '../../core/async/sleep.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { type Export, KernelDisk, type NbdServer } from '../../core/export/index.ts';
import { NbdDevice } from '../../core/host/index.ts';
import type { Io } from '../cli/io.ts';

/** Shown with a disk whose server ends with it: the number of its process follows. */
const BACKEND = 'blockyard:';
/** How long such a server may take to flush and close its image, and the time between two looks, in milliseconds. */
const END_MS = 10_000;
const WAIT_MS = 20;

export interface ConnectSettings {
  readonly path: string;
  readonly target: Export;
  readonly multiConn: boolean;
  /** The server ends when the disk is taken off. */
  readonly ends: boolean;
  /** What SELinux is to label the sockets for it. */
  readonly label: string | undefined;
}

/** Make the export a disk; it is taken off again when `closer` is closed. */
export async function connectDevice(server: NbdServer, settings: ConnectSettings, closer: Closer): Promise<void> {
  const { path, target, multiConn, ends, label } = settings;
  const device = NbdDevice.find(path);
  const backend = ends ? `${BACKEND}${process.pid}` : undefined;
  const disk = await KernelDisk.connect(server, { target, device, multiConn, backend, label });
  closer.push(() => disk.close());
}

/** @throws BlockError for a path that is no such disk. */
export function assertDevice(path: string): void {
  NbdDevice.find(path);
}

/** Take a disk off, whoever serves it, with nothing lost that was written to it. The exit status. */
export async function disconnectDevice(path: string, io: Io): Promise<number> {
  const device = NbdDevice.find(path);
  if (device.owner !== undefined) {
    if (await device.isTaken()) {
      throw new BlockError(`'${path}' is in use by a mounted file system, or by another program`, {
        code: 'EBUSY',
        hint: 'Unmount it first; ending its server takes it off regardless',
      });
    }
    await takeOff(device, io);
  }
  io.stdout.write(`${path} disconnected\n`);
  return 0;
}

/** What cannot be stored is told, unless it is known that there is no server any more. */
async function takeOff(device: NbdDevice, io: Io): Promise<void> {
  const server = device.backend?.startsWith(BACKEND) ? Number(device.backend.slice(BACKEND.length)) : undefined;
  try {
    await device.flush();
  } catch (error) {
    if (server === undefined || isRunning(server)) throw error;
  } finally {
    await device.disconnect();
    if (server !== undefined) await waitForEnd(server, io.signal);
  }
}

/** So that whoever goes on with the image finds it closed. */
async function waitForEnd(pid: number, signal: AbortSignal): Promise<void> {
  for (let waited = 0; waited < END_MS && isRunning(pid) && !signal.aborted; waited += WAIT_MS)
    await sleep(WAIT_MS, signal);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
