/** The command line of the storage daemon: records in the order of which the graph is built. */
import { OBJECT_OPTION } from '../cli/object-value.ts';
import { command } from '../cli/record.ts';
import { STRICT_BASE_OPTION } from '../cli/strict-base-option.ts';
import { TRACE_OPTION, TRACE_PATTERN_OPTION } from '../cli/trace-option.ts';

export const daemonCommand = command({
  name: 'daemon',
  summary: 'Serve images that a control socket opens, copies and takes away while they are in use',
  description: [
    'Options are carried out in the order in which they stand: a node must be there before what uses it. The program ' +
      'runs until quit comes over a control socket, or a signal.',
    'The same command line is taken under the name qemu-storage-daemon.',
  ],
  arguments: {},
  options: {
    blockdev: {
      long: 'blockdev',
      value: 'NODE',
      repeat: true,
      help: 'Open a node: driver=…,node-name=…, or JSON, as for blockdev-add',
    },
    objects: OBJECT_OPTION,
    chardev: {
      long: 'chardev',
      value: 'CHARDEV',
      repeat: true,
      help: 'Have a place for a control client: socket,id=ID,path=…,server=on,wait=off (by TLS with tls-creds=ID) or stdio,id=ID',
    },
    monitor: {
      long: 'monitor',
      value: 'MONITOR',
      repeat: true,
      help: 'Take control clients at a chardev: chardev=ID[,pretty=on]',
    },
    qmp: {
      long: 'qmp',
      value: 'ADDRESS',
      repeat: true,
      help: 'Take control clients at unix:PATH, tcp:HOST:PORT (by TLS with ,tls-creds=ID[,tls-authz=ID]) or stdio',
    },
    nbdServer: {
      long: 'nbd-server',
      value: 'SERVER',
      repeat: true,
      help: 'Listen for NBD clients: addr.type=unix,addr.path=… or addr.type=inet,addr.host=…,addr.port=…',
    },
    export: {
      long: 'export',
      value: 'EXPORT',
      repeat: true,
      help: 'Serve a node: nbd,id=…,node-name=…, as for block-export-add',
    },
    stats: {
      long: 'stats',
      value: 'unix:PATH[,interval=S]',
      repeat: true,
      help: 'Send the statistics to every reader of that socket as JSON Lines, every S seconds (default 1, also 0.1)',
    },
    metrics: {
      long: 'metrics',
      value: 'tcp:HOST:PORT',
      repeat: true,
      help: "Show the statistics in Prometheus' text format at http://HOST:PORT/metrics",
    },
    strictBase: STRICT_BASE_OPTION,
    daemonize: { long: 'daemonize', help: 'Go into the background once all is ready' },
    pidfile: { long: 'pidfile', value: 'PATH', help: 'Write the number of the process to a file' },
    trace: { ...TRACE_OPTION, hidden: true, help: 'Refused: what is to be recorded says a node of the driver trace' },
    tracePatterns: TRACE_PATTERN_OPTION,
    version: { short: 'V', long: 'version', help: 'Show the version' },
  },
  examples: [
    [
      'nbd --blockdev file,node-name=f,filename=disk.raw --nbd-server addr.type=unix,addr.path=/tmp/nbd.sock ' +
        '--export nbd,id=e,node-name=f,writable=on --qmp unix:/tmp/qmp.sock',
      'Serve a file, with a control socket',
    ],
  ],
  async run(parsed, io) {
    const { runDaemon } = await import('./daemon.ts');
    return runDaemon(parsed, io);
  },
});

/** Names under which the whole program is this one. */
const NAMES = ['qemu-storage-daemon', 'storage-daemon'];

/** Options that no other form of the command line has (`--export` is one of serving a file, too). */
const OWN = ['--blockdev', '--chardev', '--monitor', '--qmp', '--nbd-server', '--stats', '--metrics'];

/** Is this command line for the daemon. */
export function isForDaemon(argv: readonly string[], programName: string): boolean {
  if (NAMES.includes(programName)) return true;
  return argv.some((word) => OWN.includes(word.split('=', 1)[0] ?? ''));
}
