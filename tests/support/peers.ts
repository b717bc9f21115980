/**
 * The programs of other projects that tests compare ours with. A peer that is not installed is a skip with a
 * notice on a user's machine, and a failure where BLOCKYARD_REQUIRE_PEERS=1 is set.
 *
 *     const peers = peersFor('qemu-img', 'nbdinfo');
 *     describe.skipIf(peers.missing)('convert', () => { … await qemuImg(['check', file]) … });
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { execa } from 'execa';

/** Each peer and the Debian package that has it. */
export const PEERS = {
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  'qemu-storage-daemon': 'qemu-system-common',
  nbdkit: 'nbdkit',
  nbdinfo: 'libnbd-bin',
  nbdcopy: 'libnbd-bin',
  fio: 'fio',
  certtool: 'gnutls-bin',
  psktool: 'gnutls-bin',
  'gnutls-cli': 'gnutls-bin',
  openssl: 'openssl',
  mke2fs: 'e2fsprogs',
  e2fsck: 'e2fsprogs',
  sfdisk: 'fdisk',
  strace: 'strace',
  bash: 'bash',
  zsh: 'zsh',
  fish: 'fish',
  script: 'bsdutils',
  groff: 'groff-base',
  mandoc: 'mandoc',
} as const;

export type Peer = keyof typeof PEERS;

/** Administrators' folders too, which a user's PATH often lacks. */
const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].filter((folder) => folder !== '');

/** Full path of a peer, or undefined when it is not installed. */
export function findPeer(peer: Peer): string | undefined {
  return FOLDERS.map((folder) => join(folder, peer)).find(isExecutable);
}

/** True when a missing peer is to fail a test rather than to skip it. */
export function peersRequired(): boolean {
  return process.env.BLOCKYARD_REQUIRE_PEERS === '1';
}

/**
 * For `describe.skipIf` and `test.skipIf`: `missing` is true when one of `peers` is not installed and that may
 * be passed over. The notice about it is printed once per run, by global-setup.ts.
 */
export function peersFor(...peers: Peer[]): { readonly missing: boolean } {
  return { missing: !peersRequired() && peers.some((peer) => findPeer(peer) === undefined) };
}

/** Within a test: skip it with a reason, or fail where peers are required. `context` is the test's own. */
export function requirePeer(context: { skip(note?: string): never }, ...peers: Peer[]): void {
  const absent = peers.filter((peer) => findPeer(peer) === undefined);
  if (absent.length === 0) return;
  const reason = absent.map((peer) => `${peer} is not installed (package ${PEERS[peer]})`).join(', ');
  if (peersRequired()) throw new Error(reason);
  context.skip(reason);
}

export interface PeerOptions {
  readonly cwd?: string;
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds after which the program is killed; default 30 s. */
  readonly timeout?: number;
}

export interface PeerResult {
  /** Exit status; -1 when a signal ended the program. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run a peer to its end. Any exit status is a result; only a missing peer or a timeout throws. */
export async function runPeer(peer: Peer, args: readonly string[], options: PeerOptions = {}): Promise<PeerResult> {
  const path = findPeer(peer);
  if (path === undefined) throw new Error(`${peer} is not installed (package ${PEERS[peer]})`);
  const { input, timeout = 30_000, ...rest } = options;
  const source = input === undefined ? { stdin: 'ignore' as const } : { input };
  const result = await execa(path, args, { ...rest, ...source, timeout, reject: false, stripFinalNewline: false });
  if (result.timedOut) throw new Error(`${peer} ${args.join(' ')}: still running after ${timeout} ms`);
  return { code: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr };
}

/** Run a peer that must succeed; returns its standard output. */
export async function peerOutput(peer: Peer, args: readonly string[], options: PeerOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await runPeer(peer, args, options);
  if (code !== 0) throw new Error(`${peer} ${args.join(' ')} ended with status ${code}: ${stderr}${stdout}`);
  return stdout;
}

/** qemu-img that must succeed, e.g. `qemuImg(['create', '-f', 'qcow2', file, '1G'])`. */
export function qemuImg(args: readonly string[], options?: PeerOptions): Promise<string> {
  return peerOutput('qemu-img', args, options);
}

/** The JSON that a qemu-img command prints; `--output=json` is added after the subcommand. */
export async function qemuImgJson<T>(args: readonly string[], options?: PeerOptions): Promise<T> {
  const [subcommand = 'info', ...rest] = args;
  return JSON.parse(await qemuImg([subcommand, '--output=json', ...rest], options)) as T;
}

/** What `qemu-img check` says of an image: its exit status and its report (undefined when it printed none). */
export async function qemuImgCheck(file: string, options?: PeerOptions): Promise<{ code: number; report: unknown }> {
  const { code, stdout } = await runPeer('qemu-img', ['check', '--output=json', file], options);
  return { code, report: stdout.trim() === '' ? undefined : JSON.parse(stdout) };
}

/** True when qemu-img finds the two images' contents equal; throws when it cannot tell. */
export async function qemuImgSame(first: string, second: string, options?: PeerOptions): Promise<boolean> {
  const { code, stderr } = await runPeer('qemu-img', ['compare', first, second], options);
  if (code > 1) throw new Error(`qemu-img compare ${first} ${second} ended with status ${code}: ${stderr}`);
  return code === 0;
}

/** qemu-io with a list of its commands; every one must succeed. Returns what it printed. */
export function qemuIo(file: string, commands: readonly string[], args: readonly string[] = []): Promise<string> {
  return peerOutput('qemu-io', [...args, ...commands.flatMap((command) => ['-c', command]), file]);
}

/** What nbdinfo says of an NBD server, e.g. at `nbd+unix:///?socket=/tmp/s`. */
export async function nbdInfo<T>(uri: string): Promise<T> {
  return JSON.parse(await peerOutput('nbdinfo', ['--json', uri])) as T;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
