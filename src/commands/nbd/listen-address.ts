import path from 'node:path';
import { Usage } from '../../core/errors/block-error.ts';
import type { ListenAddress } from '../../core/export/index.ts';
import { DEFAULT_PORT } from '../../core/nbd/index.ts';
import type { Io } from '../cli/io.ts';
import type { NbdOptions } from './command-line.ts';

/** The first descriptor that a service manager hands over. */
const FIRST_FD = 3;

/**
 * Where to listen: as the options say, or what the service manager handed over; undefined where the kernel is to be the
 * only client.
 */
export function listenAddress(options: NbdOptions, io: Io): ListenAddress | undefined {
  const { socket, bind = '0.0.0.0', port = DEFAULT_PORT, selinuxLabel: label } = options;
  if (isActivated(io)) {
    if (
      options.connect !== undefined ||
      socket !== undefined ||
      options.bind !== undefined ||
      options.port !== undefined ||
      label !== undefined
    ) {
      throw new Usage('-c, -k, -b, -p and --selinux-label do not go with socket activation, which brings its socket');
    }
    return { type: 'fd', fd: FIRST_FD };
  }
  if (socket === undefined && options.connect !== undefined) return undefined;
  if (socket === undefined && label !== undefined) {
    throw new Usage("option '--selinux-label' is for Unix sockets and needs '--socket' or '--connect'");
  }
  if (socket === undefined) return { type: 'inet', host: bind, port };
  if (!path.isAbsolute(socket)) throw new Usage(`socket path '${socket}' is not absolute`);
  return { type: 'unix', path: socket, label };
}

/** `sd_listen_fds(3)`: the variables are for this very process, and not for those it starts. */
function isActivated(io: Io): boolean {
  const { LISTEN_PID, LISTEN_FDS } = io.env;
  if (LISTEN_PID === undefined || LISTEN_FDS === undefined || LISTEN_PID !== String(process.pid)) return false;
  if (!/^\d+$/.test(LISTEN_FDS)) throw new Usage(`LISTEN_FDS is no number: '${LISTEN_FDS}'`);
  const count = Number(LISTEN_FDS);
  if (count === 0) return false;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete process.env[name];
  if (count > 1) throw new Usage(`socket activation with ${count} sockets is not supported: there must be one`);
  return true;
}
