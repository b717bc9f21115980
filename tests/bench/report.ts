/** The table that the benchmark prints. */

import type { MannersResult } from './manners.ts';
import type { Cost } from './measure.ts';

const MIB = 2 ** 20;
/** At any image size. */
export const MEMORY_TARGET = 200 * MIB;

export interface CaseResult {
  readonly name: string;
  readonly ours: Cost;
  /** qemu-img, or for some cases our own time for other work. */
  readonly theirs: Cost | undefined;
  readonly nbdcopy: Cost | undefined;
  readonly ratio: number | undefined;
  readonly target: number;
  readonly againstOurselves: boolean;
}

const COLUMNS = [22, 9, 8, 8, 9, 8, 8, 7, 8, 6, 9] as const;

export const HEADING = row(['', 'ours', 'cpu', 'MiB', 'theirs', 'cpu', 'MiB', 'ratio', 'target', '', 'nbdcopy']);

export function caseLine(result: CaseResult): string {
  const { ours, theirs, nbdcopy, ratio, target } = result;
  const isOk = ratio === undefined ? '' : ratio <= target ? 'ok' : 'miss';
  return row([
    result.name + (result.againstOurselves ? ' *' : ''),
    seconds(ours.wall),
    seconds(ours.cpu),
    mebibytes(ours.memory),
    seconds(theirs?.wall),
    seconds(theirs?.cpu),
    mebibytes(theirs?.memory),
    ratio === undefined ? '-' : ratio.toFixed(2),
    `<= ${target}`,
    isOk,
    seconds(nbdcopy?.wall),
  ]);
}

export function memoryLine(results: readonly CaseResult[]): string {
  const peak = Math.max(0, ...results.map((result) => result.ours.memory ?? 0));
  const where = results.find((result) => result.ours.memory === peak)?.name ?? '';
  return `peak memory: ${mebibytes(peak)} MiB (${where}), target <= ${mebibytes(MEMORY_TARGET)}: ${word(peak <= MEMORY_TARGET)}`;
}

export function mannersLines({ left, kept, ratio, polite, plain }: MannersResult): string[] {
  return [
    `page cache, cold source of 2 GiB: ${(left * 100).toFixed(2)} % left in memory, target < 2 %: ${word(left < 0.02)}`,
    `page cache, what was there before: ${(kept * 100).toFixed(1)} % still is, target 100 %: ${word(kept >= 0.999)}`,
    `page cache, time with manners ${seconds(polite)} s, without ${seconds(plain)} s: ratio ${ratio.toFixed(2)}, target <= 1.05: ${word(ratio <= 1.05)}`,
  ];
}

export interface StartUp {
  readonly node: number;
  readonly img: number;
  readonly ratio: number;
}

export function startUpLine({ node, img, ratio }: StartUp): string {
  const ms = (value: number) => (value * 1000).toFixed(1);
  return `start-up: img info ${ms(img)} ms, node -e 0 ${ms(node)} ms: ratio ${ratio.toFixed(2)}, target <= 1.5: ${word(ratio <= 1.5)}`;
}

function word(isOk: boolean): string {
  return isOk ? 'ok' : 'miss';
}

function row(cells: readonly string[]): string {
  return cells
    .map((cell, index) => (index === 0 ? cell.padEnd(COLUMNS[0]) : cell.padStart(COLUMNS[index] ?? 8)))
    .join('')
    .trimEnd();
}

function seconds(value: number | undefined): string {
  return value === undefined ? '-' : value.toFixed(2);
}

function mebibytes(value: number | undefined): string {
  return value === undefined ? '-' : (value / MIB).toFixed(0);
}
