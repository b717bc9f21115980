/** What every command must do with a bad image. */
import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { ImgServer, Outcome } from './img-server.ts';

const MIB = 1024 * 1024;
const MAX_CPU_MS = 10_000;
const MAX_MEMORY = 256 * MIB;

export const COMMANDS = ['info', 'check', 'map', 'convert', 'compare'] as const;
export type CommandName = (typeof COMMANDS)[number];

export interface Trial {
  readonly server: ImgServer;
  /** Where the image is put; other files that it names may lie there. */
  readonly folder: string;
  readonly image: Buffer;
  /** For messages. */
  readonly name: string;
  readonly refs?: 'none' | 'same-dir' | 'all';
}

export type Outcomes = Readonly<Record<CommandName, Outcome>>;

/** Run every command on the image; each ends well or with one line, soon, with little memory, and changes nothing. */
export async function tryAll(trial: Trial): Promise<Outcomes> {
  const { folder, image, server, name } = trial;
  const path = join(folder, 'victim.qcow2');
  writeFileSync(path, image);
  const before = digest(image);
  const list: (readonly [CommandName, Outcome])[] = [];
  for (const command of COMMANDS) {
    const outcome = await server.run(argumentsOf(command, path, trial));
    expectDecent(`${name}: img ${command}`, command, outcome);
    list.push([command, outcome]);
  }
  expect(digest(readFileSync(path)), `${name}: the image afterwards`).toBe(before);
  rmSync(join(folder, 'copy.raw'), { force: true });
  return Object.fromEntries(list) as Record<CommandName, Outcome>;
}

function argumentsOf(command: CommandName, path: string, { folder, refs }: Trial): string[] {
  // A check opens nothing else, so it has no policy about it.
  const policy = refs === undefined || command === 'check' ? [] : [`--refs=${refs}`];
  if (command === 'convert') return [command, ...policy, '-O', 'raw', path, join(folder, 'copy.raw')];
  if (command === 'compare') return [command, ...policy, path, path];
  return [command, ...policy, path];
}

/** What is said of damage when it is met, in the words that scripts know from QEMU's programs. */
const DAMAGE =
  /^qcow2: (Image is corrupt|Marking image as corrupt): .*; further (non-fatal )?corruption events will be suppressed$/;

function expectDecent(what: string, command: CommandName, { code, stderr, cpu, peak }: Outcome): void {
  expect(stderr, what).not.toMatch(/internal error|\n\s+at |BLOCKYARD_DEBUG/);
  expect(cpu, `${what}, milliseconds of processor time`).toBeLessThan(MAX_CPU_MS);
  expect(peak / MIB, `${what}, peak memory in MiB`).toBeLessThan(MAX_MEMORY / MIB);
  // A check that was made, or begun, says in detail what is wrong.
  const found = code === 2 || code === 3 || /^(ERROR|Leaked)/m.test(stderr);
  if (code === 0 || (command === 'check' && found)) return;
  expect([1, 2, 3, 4, 63], `${what}: ${stderr}`).toContain(code);
  if (command === 'compare' && code === 1) return;
  const said = stderr
    .trimEnd()
    .split('\n')
    .filter((line) => command !== 'check' || line !== 'img: Check failed');
  const lines = said.filter((line) => !DAMAGE.test(line));
  // Once for each time the image is opened.
  expect(said.length - lines.length, `${what}: ${stderr}`).toBeLessThanOrEqual(command === 'compare' ? 2 : 1);
  expect(lines[0], what).toMatch(/^img: /);
  expect(
    lines.filter((line) => line.startsWith('img: ')),
    what,
  ).toHaveLength(1);
  expect(lines.length, `${what}: ${stderr}`).toBeLessThanOrEqual(2);
}

/** Every command refuses the image, and the line matches. */
export function expectRefused(
  name: string,
  outcomes: Outcomes,
  pattern: RegExp,
  but: readonly CommandName[] = [],
): void {
  for (const command of COMMANDS) {
    if (but.includes(command)) continue;
    expect(outcomes[command].code, `${name}: img ${command}`).not.toBe(0);
    expect(outcomes[command].stderr, `${name}: img ${command}`).toMatch(pattern);
  }
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
