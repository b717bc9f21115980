/** Which format a file is, from its first bytes. */
import type { Driver, DriverEntry, DriverList } from '../driver.ts';
import type { Edge } from './edge.ts';

/** Bytes that every probe gets to see. */
const HEAD = 2048;

interface FileFacts {
  readonly name: string;
  readonly size: number;
}

/** The best-scoring driver for the content of `file`; raw when none recognises it. */
export async function probeFormat(drivers: DriverList, file: Edge): Promise<{ driver: Driver; head: Uint8Array }> {
  const head = Buffer.alloc(Math.min(HEAD, file.size));
  await file.read(0, head);
  const facts = { name: file.node.fileName, size: file.size };
  let best: { driver: Driver; score: number } | undefined;
  for (const entry of candidates(drivers, head, facts)) {
    const driver = await entry.load();
    const score = driver.probe?.(head, facts) ?? 0;
    if (score > 0 && (!best || score > best.score)) best = { driver, score };
  }
  if (best) return { driver: best.driver, head };
  const raw = drivers.entries.find((entry) => entry.name === 'raw');
  if (!raw) throw new Error('the driver list has no raw driver');
  return { driver: await raw.load(), head };
}

/** The name of the format that `head` looks like, judged by magic alone; undefined for none. */
export function sniffFormat(drivers: DriverList, head: Uint8Array): string | undefined {
  return candidates(drivers, head, { name: '', size: head.length })[0]?.name;
}

function candidates(drivers: DriverList, head: Uint8Array, facts: FileFacts): DriverEntry[] {
  return drivers.entries.filter((entry) => entry.kind === 'format' && entry.magic?.(head, facts));
}
