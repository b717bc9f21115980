import { type ChildProcess, spawn } from 'node:child_process';
import { onTestFinished } from 'vitest';
import { findPeer } from '../../support/peers.ts';

/** qemu-io with the qcow2 image open for writing, until it is killed or the test ends. */
export async function holdOpen(image: string): Promise<ChildProcess> {
  const holder = spawn(findPeer('qemu-io') ?? 'qemu-io', ['-f', 'qcow2', image], { stdio: ['pipe', 'pipe', 'ignore'] });
  onTestFinished(() => void holder.kill('SIGKILL'));
  holder.stdin.write('length\n');
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  return holder;
}
