/** The command line of `nbd`, as a record like those of subcommands. */
import { cacheMode, cacheModeNames } from '../../core/block/backend/cache-mode.ts';
import { Usage, withContext } from '../../core/errors/block-error.ts';
import { DEFAULT_PORT } from '../../core/nbd/index.ts';
import { AIO_WORDS } from '../cli/aio-option.ts';
import { OBJECT_OPTION } from '../cli/object-value.ts';
import { command, type OptionSpecs, type Parsed } from '../cli/record.ts';
import { REFS_OPTION } from '../cli/refs-option.ts';
import { STRICT_BASE_OPTION } from '../cli/strict-base-option.ts';
import { TRACE_OPTION, TRACE_PATTERN_OPTION } from '../cli/trace-option.ts';
import { integerValue } from '../cli/values.ts';

const MAX = Number.MAX_SAFE_INTEGER;
/** Longest time that can be waited for, in seconds. */
const MAX_SECONDS = 1_000_000;

/** What other programs set up, this one serves; these say how. */
const SERVING = [
  'exportName',
  'description',
  'offset',
  'connect',
  'disconnect',
  'format',
  'snapshot',
  'loadSnapshot',
  'bitmaps',
  'allocationDepth',
  'aio',
  'cache',
  'nocache',
  'discard',
  'detectZeroes',
  'fork',
  'exports',
];

const options = {
  port: {
    short: 'p',
    long: 'port',
    value: 'PORT',
    parse: integerValue(0, 65_535),
    help: `TCP port (default: ${DEFAULT_PORT}; 0: any)`,
  },
  bind: {
    short: 'b',
    long: 'bind',
    value: 'ADDRESS',
    help: 'Address to listen on, or of the server with -L (default: 0.0.0.0)',
  },
  socket: {
    short: 'k',
    long: 'socket',
    value: 'PATH',
    help: 'Unix socket in the place of TCP, an absolute path',
    conflicts: ['port', 'bind'],
  },
  selinuxLabel: {
    long: 'selinux-label',
    value: 'LABEL',
    help: 'What SELinux labels the Unix socket of -k, and the sockets of -c: user:role:type:level',
    conflicts: ['list', 'disconnect'],
  },
  shared: {
    short: 'e',
    long: 'shared',
    value: 'N',
    parse: integerValue(0, MAX),
    default: '1',
    help: 'Clients served at a time, others wait in line; 0 for no limit. Other than 1 it allows several connections for one client',
  },
  maxConnections: {
    long: 'max-connections',
    value: 'N',
    parse: integerValue(0, MAX),
    default: '0',
    help: 'Clients connected at a time, with those in line; further ones are turned away. 0 for no limit',
  },
  persistent: { short: 't', long: 'persistent', help: 'Go on when the last client has left' },
  idleExit: {
    long: 'idle-exit',
    value: 'SECONDS',
    parse: integerValue(1, MAX_SECONDS),
    help: 'End when nobody has been connected for so long',
  },
  exportName: { short: 'x', long: 'export-name', value: 'NAME', default: '', help: 'Name of the export' },
  description: { short: 'D', long: 'description', value: 'TEXT', help: 'Description of the export' },
  exports: {
    long: 'export',
    value: 'EXPORT',
    repeat: true,
    help: 'A further export: name=NAME,file=FILE and, each as the option of that name, format, description, read-only, snapshot, load-snapshot, offset, bitmap (several as bitmap.0, bitmap.1 …), allocation-depth',
  },
  handshakeLimit: {
    long: 'handshake-limit',
    value: 'SECONDS',
    parse: integerValue(0, MAX_SECONDS),
    default: '10',
    help: 'Time for a client to negotiate; 0 for no limit',
  },
  offset: {
    short: 'o',
    long: 'offset',
    value: 'BYTES',
    parse: integerValue(0, MAX),
    default: '0',
    help: 'Where in the image the export begins',
  },
  allocationDepth: {
    short: 'A',
    long: 'allocation-depth',
    help: 'Tell which layer of a chain holds what (qemu:allocation-depth)',
  },
  bitmaps: {
    short: 'B',
    long: 'bitmap',
    value: 'NAME',
    repeat: true,
    help: 'Tell what this dirty bitmap holds (qemu:dirty-bitmap:NAME)',
  },
  list: { short: 'L', long: 'list', help: 'List what another server exports', conflicts: SERVING },
  output: {
    long: 'output',
    value: 'human|json',
    choices: ['human', 'json'],
    default: 'human',
    help: 'How -L prints',
    needs: ['list'],
  },
  format: {
    short: 'f',
    long: 'format',
    value: 'FMT',
    help: 'Format of the image; guessed when not given',
    conflicts: ['imageOpts'],
  },
  imageOpts: { long: 'image-opts', help: 'FILE is a list of options (driver=…,file.filename=…), not a name' },
  readOnly: { short: 'r', long: 'read-only', help: 'Let nobody write' },
  snapshot: { short: 's', long: 'snapshot', help: 'Let writes go to a temporary overlay' },
  loadSnapshot: {
    short: 'l',
    long: 'load-snapshot',
    value: 'SNAPSHOT',
    help: 'Serve an internal snapshot, by id or name or as snapshot.id=ID,snapshot.name=NAME; nobody can write then',
    conflicts: ['snapshot'],
  },
  nocache: {
    short: 'n',
    long: 'nocache',
    once: true,
    help: 'Bypass the page cache, as --cache=none',
    conflicts: ['cache'],
  },
  cache: {
    long: 'cache',
    value: 'MODE',
    once: true,
    parse: cacheValue,
    offers: cacheModeNames,
    help: 'Cache mode: none, writeback, writethrough, directsync or unsafe (default: writeback)',
  },
  aio: {
    long: 'aio',
    once: true,
    ...AIO_WORDS,
  },
  discard: {
    long: 'discard',
    value: 'MODE',
    once: true,
    choices: ['ignore', 'off', 'unmap', 'on'],
    default: 'ignore',
    help: 'Whether discards are passed on: ignore or unmap',
  },
  detectZeroes: {
    long: 'detect-zeroes',
    value: 'MODE',
    choices: ['off', 'on', 'unmap'],
    help: 'Write zeroes as such where data is all zero: off, on or unmap (which needs --discard=unmap)',
  },
  connect: {
    short: 'c',
    long: 'connect',
    value: 'DEVICE',
    help: 'Make the image a disk of this machine (/dev/nbd0), in the background unless -v is given',
    conflicts: ['disconnect', 'port', 'bind', 'tlsCreds'],
  },
  disconnect: {
    short: 'd',
    long: 'disconnect',
    help: 'Take the disk FILE (/dev/nbd0) off with all stored that was written to it, and end its server',
  },
  objects: OBJECT_OPTION,
  tlsCreds: {
    long: 'tls-creds',
    value: 'ID',
    help: 'Credentials for TLS: without TLS nobody is served (but see --tls-optional), and with -L nothing listed',
  },
  tlsAuthz: {
    long: 'tls-authz',
    value: 'ID',
    help: 'Who may connect, by an authorisation object',
    needs: ['tlsCreds'],
    conflicts: ['list'],
  },
  tlsOptional: {
    long: 'tls-optional',
    help: 'Serve clients that do not ask for TLS as well, in plain text',
    needs: ['tlsCreds'],
    conflicts: ['list', 'tlsAuthz'],
  },
  tlsHostname: {
    long: 'tls-hostname',
    value: 'NAME',
    help: 'Name that the certificate of the server must have',
    needs: ['tlsCreds', 'list'],
  },
  fork: { long: 'fork', help: 'Go into the background once clients can connect' },
  pidFile: { long: 'pid-file', value: 'PATH', help: 'File that holds the number of the process while it runs' },
  verbose: { short: 'v', long: 'verbose', help: 'With --fork, keep standard error; with -c, stay in the foreground' },
  log: {
    long: 'log',
    value: 'text|json',
    choices: ['text', 'json'],
    help: 'Tell of clients and failures on standard error, in lines or as JSON, an object a line; otherwise of failures only',
  },
  refs: REFS_OPTION,
  strictBase: STRICT_BASE_OPTION,
  trace: TRACE_OPTION,
  tracePatterns: TRACE_PATTERN_OPTION,
  version: { short: 'V', long: 'version', help: 'Show the version' },
} as const satisfies OptionSpecs;

const operands = {
  file: { name: 'FILE', optional: true, help: 'The image to serve, or the disk to take off' },
} as const;

export type NbdLine = Parsed<typeof operands, typeof options>;
export type NbdOptions = NbdLine['options'];

export const commandLine = command({
  name: '',
  summary: 'Serve disk images over NBD',
  description: [
    'Serving ends when the last client has left, unless -t is given, and on SIGTERM, SIGINT or SIGHUP: requests under way are finished, all is flushed, and the status is 0.',
    "With --blockdev, --chardev, --monitor, --qmp, --nbd-server, --stats or --metrics it is a daemon that a control socket directs: 'nbd help daemon' tells more.",
    'With -c the kernel is the client, and the only one unless -k is given too: the image is a disk of this machine until -d takes it off, or a signal ends the serving. That takes the driver nbd of Linux 4.12 or later, and root.',
    'With socket activation (LISTEN_FDS) the socket comes from the service manager, and -b, -p and -k do not apply.',
  ],
  arguments: operands,
  options,
  examples: [
    ['nbd -f qcow2 -k /run/disk.sock disk.qcow2', 'Serve an image to one client on a unix socket'],
    ['nbd -r -t -e 0 -f raw disk.raw', 'Serve a raw image for reading to anybody, on TCP port 10809'],
    ['nbd -c /dev/nbd0 disk.qcow2', 'Make an image a disk of this machine, to mount its partitions /dev/nbd0p1 …'],
    ['nbd -d /dev/nbd0', 'Take it off again'],
    ['nbd -t -e 0 --export name=a,file=a.qcow2 --export name=b,file=b.raw,format=raw,read-only=on', 'Two exports'],
  ],
  statuses: [
    [0, 'ended as it should'],
    [1, 'could not start, or something failed at the end'],
  ],
  run: async (line, io) => (await import('./run.ts')).runNbd(line, io),
});

function cacheValue(text: string, option: string): ReturnType<typeof cacheMode> {
  try {
    return cacheMode(text);
  } catch (error) {
    throw new Usage(withContext(option, error).message);
  }
}
