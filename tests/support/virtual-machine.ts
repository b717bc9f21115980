/**
 * A small virtual machine with a kernel of its own, for what cannot be tried on the machine that runs the tests: it sees
 * the files of this one, read-only, has a /tmp and a /run of its own, and runs one script as root.
 *
 * It takes qemu-system-x86_64, busybox and a kernel with its modules: that of the system (/boot, /lib/modules)
 * or one unpacked into the folder that BLOCKYARD_KERNEL names (`dpkg-deb -x linux-image-….deb FOLDER`).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { execa } from 'execa';
import { type ArchiveEntry, cpioArchive } from './cpio-archive.ts';

export interface Machine {
  readonly qemu: string;
  readonly busybox: string;
  readonly kernel: string;
  /** Files of modules, each after those it depends on. */
  readonly modules: readonly string[];
}

/** What is needed to see this machine's files, beside what a test asks for. */
const ALWAYS = ['virtio_pci', '9pnet_virtio', '9p'];

/** The means for a virtual machine whose kernel loads `modules`; a text says what is missing. */
export function findMachine(modules: readonly string[]): Machine | string {
  if (process.arch !== 'x64') return 'the virtual machine is an x86-64 one';
  const qemu = findProgram('qemu-system-x86_64');
  if (qemu === undefined) return 'qemu-system-x86_64 is not installed (package qemu-system-x86)';
  const busybox = findProgram('busybox');
  if (busybox === undefined) return 'busybox is not installed (package busybox-static)';
  const root = process.env.BLOCKYARD_KERNEL ?? '/';
  const found = findKernel(root);
  if (found === undefined)
    return `there is no kernel with modules in '${root}' (package linux-image-amd64, see BLOCKYARD_KERNEL)`;
  const files = withDependencies(found.folder, [...ALWAYS, ...modules]);
  return typeof files === 'string' ? files : { qemu, busybox, kernel: found.kernel, modules: files };
}

/** Run `script` (for /bin/sh) in the machine: what it printed. It is to end within `timeout` milliseconds. */
export async function runInMachine(machine: Machine, script: string, folder: string, timeout: number): Promise<string> {
  const initrd = join(folder, 'initrd');
  writeFileSync(initrd, cpioArchive(await initialFiles(machine, script)));
  const args = [
    ...accelerators(),
    ...['-cpu', 'max', '-m', '1024', '-smp', '2', '-nodefaults', '-no-reboot'],
    ...['-display', 'none', '-serial', 'stdio', '-kernel', machine.kernel, '-initrd', initrd],
    ...['-append', 'console=ttyS0 quiet panic=-1 hung_task_panic=0'],
    ...['-fsdev', 'local,id=root,path=/,security_model=none,readonly=on,multidevs=remap'],
    ...['-device', 'virtio-9p-pci,fsdev=root,mount_tag=root'],
  ];
  const child = spawn(machine.qemu, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
  const [, signal] = await once(child, 'close');
  clearTimeout(timer);
  if (signal !== null) throw new Error(`the virtual machine did not end within ${timeout} ms: ${text}`);
  return text.replaceAll('\r', '');
}

/** Where the processor can run a stock kernel in a machine it does, and it takes seconds rather than minutes. */
function accelerators(): string[] {
  const emulated = ['-accel', 'tcg,thread=multi'];
  if (!/^flags.*\b(vmx|svm)\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'))) return emulated;
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return ['-accel', 'kvm', ...emulated];
  } catch {
    return emulated;
  }
}

function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/bin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

function findKernel(root: string): { kernel: string; folder: string } | undefined {
  const modules = join(root, 'lib', 'modules');
  if (!existsSync(modules)) return undefined;
  for (const release of readdirSync(modules).sort().reverse()) {
    const kernel = join(root, 'boot', `vmlinuz-${release}`);
    if (existsSync(kernel)) return { kernel, folder: join(modules, release) };
  }
  return undefined;
}

/** The modules' files, each after those it depends on; what is not there as a file is part of the kernel itself. */
function withDependencies(folder: string, names: readonly string[]): string[] | string {
  const files = new Map<string, string>();
  for (const name of readdirSync(join(folder, 'kernel'), { recursive: true, encoding: 'utf8' })) {
    const module = /([^/]+)\.ko(\.\w+)?$/.exec(name)?.[1];
    if (module !== undefined) files.set(module.replaceAll('-', '_'), join(folder, 'kernel', name));
  }
  const builtIn = readFileSync(join(folder, 'modules.builtin'), 'utf8').replaceAll('-', '_');
  const ordered = new Set<string>();
  const add = (name: string): string | undefined => {
    const file = files.get(name.replaceAll('-', '_'));
    if (file === undefined) return builtIn.includes(`/${name.replaceAll('-', '_')}.ko`) ? undefined : name;
    if (!file.endsWith('.ko')) return `${name} (uncompressed)`;
    if (ordered.has(file)) return undefined;
    const depends = /\0depends=([^\0]*)\0/.exec(readFileSync(file, 'latin1'))?.[1] ?? '';
    for (const each of depends.split(',').filter((one) => one !== '')) {
      const missing = add(each);
      if (missing !== undefined) return missing;
    }
    ordered.add(file);
    return undefined;
  };
  for (const name of names) {
    const missing = add(name);
    if (missing !== undefined) return `the kernel in '${folder}' has no module ${missing}`;
  }
  return [...ordered];
}

const FOLDERS = ['bin', 'dev', 'modules', 'proc', 'root', 'sys'];

async function initialFiles({ busybox, modules }: Machine, script: string): Promise<ArchiveEntry[]> {
  const libraries = await librariesOf(busybox);
  const folders = new Set(FOLDERS);
  for (const library of libraries) {
    const parts = library.split('/').slice(1, -1);
    for (const [index] of parts.entries()) folders.add(parts.slice(0, index + 1).join('/'));
  }
  return [
    ...[...folders].map((name) => ({ name, mode: 0o40755, data: new Uint8Array(0) })),
    ...libraries.map((path) => ({ name: path.slice(1), mode: 0o100755, data: readFileSync(path) })),
    { name: 'bin/busybox', mode: 0o100755, data: readFileSync(busybox) },
    ...modules.map((path) => ({ name: `modules/${basename(path)}`, mode: 0o100644, data: readFileSync(path) })),
    { name: 'script', mode: 0o100755, data: Buffer.from(script) },
    { name: 'init', mode: 0o100755, data: Buffer.from(initScript(modules.map((path) => basename(path)))) },
  ];
}

/** Shared libraries of a program: none of one that is linked statically. */
async function librariesOf(path: string): Promise<string[]> {
  const { stdout } = await execa('ldd', [path], { reject: false });
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, library = '']) => library);
}

function initScript(modules: readonly string[]): string {
  return [
    '#!/bin/busybox sh',
    '/bin/busybox --install -s /bin',
    'export PATH=/bin HOME=/tmp',
    ...modules.map((name) => `insmod /modules/${name} || echo "cannot load ${name}"`),
    'mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro root /root',
    'mount -t proc proc /root/proc',
    'mount -t sysfs sys /root/sys',
    'mount -t devtmpfs dev /root/dev',
    'for folder in tmp run; do mount -t tmpfs tmpfs /root/$folder; done',
    'mkdir /root/run/lock',
    'ip link set lo up',
    'cp /script /root/run/script',
    'export PATH=/usr/sbin:/usr/bin:/sbin:/bin',
    'chroot /root /bin/sh /run/script',
    'mount -t proc proc /proc',
    'echo o > /proc/sysrq-trigger',
    'while :; do sleep 1; done',
    '',
  ].join('\n');
}
