/** What the command line asks for: serving, listing, or the kernel's disks. */
import { Usage } from '../../core/errors/block-error.ts';
import type { Io } from '../cli/io.ts';
import { traceFile, tracePattern } from '../cli/trace-option.ts';
import { versionText } from '../cli/version.ts';
import { becomeDaemon, isDaemon } from './background.ts';
import type { NbdLine } from './command-line.ts';
import { exportRequests } from './export-requests.ts';
import { listenAddress } from './listen-address.ts';
import { serve } from './serve.ts';

export async function runNbd(line: NbdLine, io: Io): Promise<number> {
  const { options } = line;
  if (options.version) {
    io.stdout.write(versionText(io.programName));
    return 0;
  }
  for (const pattern of options.tracePatterns) tracePattern(pattern, io);
  if (options.disconnect) {
    const { file } = line.arguments;
    if (file === undefined) throw new Usage('the disk to take off is missing: nbd -d /dev/nbd0');
    return (await import('./kernel-device.ts')).disconnectDevice(file, io);
  }
  if (options.list) return (await import('./list.ts')).list(line, io);
  const requests = exportRequests(line);
  const address = listenAddress(options, io);
  const traced = options.trace === undefined ? undefined : traceFile(options.trace, io);
  if (options.connect !== undefined) (await import('./kernel-device.ts')).assertDevice(options.connect);
  // A disk is there for others than whoever makes it: without -v it is made in the background.
  const inBackground = options.fork || (options.connect !== undefined && !options.verbose);
  if (inBackground && !isDaemon(io)) {
    if (address?.type === 'fd')
      throw new Usage('--fork does not go with socket activation: the service manager has it in the background');
    return becomeDaemon(options.verbose, io);
  }
  return serve({ options, requests, address, traceFile: traced }, io);
}
