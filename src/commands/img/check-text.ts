/** What `check` prints of a result. */
import type { CheckResult } from '../../core/block/driver.ts';

/** What a repair has done, or would do. */
export type Repaired = Pick<CheckResult, 'corruptionsFixed' | 'leaksFixed'>;

interface Identity {
  readonly filename: string;
  readonly format: string;
}

/** ImageCheck of the control socket's schema: counts that are 0 are left out, but for check-errors. */
export function checkRecord(
  result: CheckResult,
  { filename, format }: Identity,
  repairable?: Repaired,
): Readonly<Record<string, unknown>> {
  return {
    'image-end-offset': result.imageEndOffset || undefined,
    'compressed-clusters': result.compressedClusters || undefined,
    'total-clusters': result.totalClusters || undefined,
    corruptions: result.corruptions || undefined,
    'corruptions-fixed': result.corruptionsFixed || undefined,
    'corruptions-repairable': repairable?.corruptionsFixed || undefined,
    'check-errors': result.checkErrors,
    leaks: result.leaks || undefined,
    'leaks-fixed': result.leaksFixed || undefined,
    'leaks-repairable': repairable?.leaksFixed || undefined,
    'allocated-clusters': result.allocatedClusters || undefined,
    filename,
    format,
    'fragmented-clusters': result.fragmentedClusters || undefined,
  };
}

/** What comes before the second check, after something was repaired. */
export function repairedLines({ leaksFixed, corruptionsFixed }: Repaired): string[] {
  return [
    'The following inconsistencies were found and repaired:',
    '',
    `    ${leaksFixed} leaked clusters`,
    `    ${corruptionsFixed} corruptions`,
    '',
    'Double checking the fixed image now...',
  ];
}

/** What comes before the result of a check with `--dry-run`. */
export function repairableLines({ leaksFixed, corruptionsFixed }: Repaired): string[] {
  return [
    'The following inconsistencies would be repaired:',
    '',
    `    ${leaksFixed} leaked clusters`,
    `    ${corruptionsFixed} corruptions`,
    '',
    'Nothing has been changed; this is the image as it is:',
  ];
}

export function checkLines(result: CheckResult): string[] {
  const { corruptions, leaks, checkErrors } = result;
  const found: string[] = [];
  if (corruptions > 0) {
    found.push('', `${corruptions} errors were found on the image.`);
    found.push('Data may be corrupted, or further writes to the image may corrupt it.');
  }
  if (leaks > 0) {
    found.push('', `${leaks} leaked clusters were found on the image.`);
    found.push('This means waste of disk space, but no harm to data.');
  }
  if (checkErrors > 0) found.push('', `${checkErrors} internal errors have occurred during the check.`);
  if (found.length === 0) found.push('No errors were found on the image.');
  return [...found, ...usageLines(result)];
}

function usageLines(result: CheckResult): string[] {
  const { totalClusters: total = 0, allocatedClusters: allocated = 0 } = result;
  const { fragmentedClusters: fragmented = 0, compressedClusters: compressed = 0, imageEndOffset = 0 } = result;
  const usage =
    total === 0 || allocated === 0
      ? []
      : [
          `${allocated}/${total} = ${percent(allocated, total)}% allocated, ` +
            `${percent(fragmented, allocated)}% fragmented, ${percent(compressed, allocated)}% compressed clusters`,
        ];
  return imageEndOffset === 0 ? usage : [...usage, `Image end offset: ${imageEndOffset}`];
}

/** C's `%.2f`: what lies half-way between two roundings goes to the even one. */
function percent(part: number, whole: number): string {
  const value = (part * 100) / whole;
  const [, last = ''] = /\.\d(\d)50*$/.exec(value.toFixed(60)) ?? [];
  return (last !== '' && Number(last) % 2 === 0 ? value * (1 - Number.EPSILON) : value).toFixed(2);
}
