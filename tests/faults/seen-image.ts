/** What there is to see of an image, for comparing two runs of a command that made it. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { imgHere, imgHereOutput } from '../support/img-here.ts';

export interface Seen {
  /** What is allocated, and what reads as zeroes; wherever it lies. */
  readonly map: readonly Record<string, unknown>[];
  readonly content: string;
  /** What the check says, but for how much is fragmented and where the file ends. */
  readonly check: string;
  /** Of the whole file. */
  readonly bytes: string;
}

export async function seenOf(path: string, format: string): Promise<Seen | undefined> {
  if (!existsSync(path)) return undefined;
  const checked = format === 'raw' ? undefined : await imgHere(['check', '-U', '-f', format, path]);
  return {
    map: joined(JSON.parse(await imgHereOutput(['map', '-U', '-f', format, '--output=json', path]))),
    content: (await imgHereOutput(['checksum', '-U', '-f', format, path])).split(' ')[0] ?? '',
    check: `${checked?.stdout.replace(/^Image end.*$/m, '').replace(/[\d.]+% fragmented/, '')}${checked?.stderr}`,
    bytes: createHash('sha256').update(readFileSync(path)).digest('hex'),
  };
}

/** Extents that differ in nothing but their place are one. */
function joined(extents: readonly Record<string, unknown>[]): Record<string, unknown>[] {
  const list: Record<string, unknown>[] = [];
  for (const { offset: _place, ...extent } of extents) {
    const last = list.at(-1);
    if (last && kindOf(last) === kindOf(extent)) last.length = Number(last.length) + Number(extent.length);
    else list.push(extent);
  }
  return list;
}

function kindOf({ start: _start, length: _length, ...kind }: Record<string, unknown>): string {
  return JSON.stringify(kind);
}
