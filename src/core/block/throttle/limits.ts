/** Limits as users write them: six rates, each with a burst rate and its length, and the size of one operation. */
import { Usage } from '../../errors/block-error.ts';
import { bytes, defineOptions, group, integer } from '../../options/fields.ts';
import { validate } from '../../options/parse.ts';

export const bucketNames = ['bps-total', 'bps-read', 'bps-write', 'iops-total', 'iops-read', 'iops-write'] as const;
export type BucketName = (typeof bucketNames)[number];

export interface BucketLimit {
  /** Units per second in the long run; 0 for no limit. */
  readonly average: number;
  /** Units per second in a burst; 0 for none but the tenth of a second that is always granted. */
  readonly max: number;
  /** Seconds that a burst at `max` may last. */
  readonly maxLength: number;
}

export interface ThrottleLimits {
  readonly buckets: Readonly<Record<BucketName, BucketLimit>>;
  /** A request longer than this many bytes counts as several operations; 0 for one each. */
  readonly operationSize: number;
}

/** Largest rate. */
const MAX_RATE = 1e15;

const rate = (help: string) => bytes({ help, default: 0, max: MAX_RATE });
const seconds = (help: string) => integer({ help, default: 1, min: 0, max: MAX_RATE });

const WHAT: Readonly<Record<BucketName, string>> = {
  'bps-total': 'bytes per second',
  'bps-read': 'bytes read per second',
  'bps-write': 'bytes written per second',
  'iops-total': 'operations per second',
  'iops-read': 'reads per second',
  'iops-write': 'writes per second',
};

type RateField = ReturnType<typeof rate>;
type SecondsField = ReturnType<typeof seconds>;
type LimitFields = Readonly<
  Record<BucketName | `${BucketName}-max` | 'iops-size', RateField> & Record<`${BucketName}-max-length`, SecondsField>
>;

/** Option fields `bps-total`, `bps-total-max`, `bps-total-max-length` … and `iops-size`. */
export const limitFields = Object.fromEntries([
  ...bucketNames.flatMap((name) => [
    [name, rate(`Most ${WHAT[name]}, 0 for no limit`)],
    [`${name}-max`, rate(`Most ${WHAT[name]} in a burst`)],
    [`${name}-max-length`, seconds('Longest burst in seconds')],
  ]),
  ['iops-size', rate('Bytes after which a request counts as another operation')],
]) as unknown as LimitFields;

const limitOptions = defineOptions(limitFields);

/** The same without defaults, so that what was given can be told. */
const bareFields = Object.fromEntries([
  ...bucketNames.flatMap((name) => [
    [name, bytes({ help: `Most ${WHAT[name]}`, max: MAX_RATE })],
    [`${name}-max`, bytes({ help: `Most ${WHAT[name]} in a burst`, max: MAX_RATE })],
    [`${name}-max-length`, integer({ help: 'Longest burst in seconds', min: 0, max: MAX_RATE })],
  ]),
  ['iops-size', bytes({ help: 'Bytes after which a request counts as another operation', max: MAX_RATE })],
]) as Readonly<Record<string, ReturnType<typeof bytes>>>;

/** Options of a `throttle-group` object, for {@link groupLimits}. */
export const groupOptions = defineOptions({
  limits: group(bareFields, { help: 'Limits of all members together' }),
  ...Object.fromEntries(Object.entries(bareFields).map(([name, field]) => [`x-${name}`, field])),
});

/** Validated values of {@link limitFields}. */
export type LimitOptions = { readonly [K in keyof LimitFields]: number };

/** @throws Usage for limits that contradict each other. */
export function limitsFrom(options: LimitOptions): ThrottleLimits {
  const buckets = Object.fromEntries(
    bucketNames.map((name) => [
      name,
      { average: options[name], max: options[`${name}-max`], maxLength: options[`${name}-max-length`] },
    ]),
  ) as Record<BucketName, BucketLimit>;
  const limits = { buckets, operationSize: options['iops-size'] };
  checkLimits(limits);
  return limits;
}

/** The inverse of {@link limitsFrom}. */
export function optionsFrom({ buckets, operationSize }: ThrottleLimits): LimitOptions {
  const entries = bucketNames.flatMap((name) => {
    const { average, max, maxLength } = buckets[name];
    return [
      [name, average],
      [`${name}-max`, max],
      [`${name}-max-length`, maxLength],
    ];
  });
  return Object.fromEntries([...entries, ['iops-size', operationSize]]) as LimitOptions;
}

/** Does anything in the options limit anything. */
export function hasLimits(limits: ThrottleLimits): boolean {
  return Object.values(limits.buckets).some((bucket) => bucket.average > 0);
}

/**
 * Limits of a `throttle-group` object: flat with the prefix `x-`, or as a group `limits`.
 * @throws Usage for unknown names and for limits that contradict each other.
 */
export function groupLimits(options: Readonly<Record<string, unknown>>, what: string): ThrottleLimits {
  const { limits = {}, ...flat } = options;
  const named: Record<string, unknown> = typeof limits === 'object' ? { ...limits } : { limits };
  for (const [key, value] of Object.entries(flat)) {
    if (value === undefined) continue;
    const name = key.startsWith('x-') ? key.slice(2) : key.startsWith('limits.') ? key.slice(7) : key;
    if (name === key || Object.hasOwn(named, name)) {
      throw new Usage(name === key ? `${what} has no option '${key}'` : `${what} is given '${name}' twice`);
    }
    named[name] = value;
  }
  return limitsFrom(validate(limitOptions, named, what) as LimitOptions);
}

/** @throws Usage, naming the limits. */
export function checkLimits({ buckets, operationSize }: ThrottleLimits): void {
  for (const kind of ['bps', 'iops'] as const) {
    for (const field of ['average', 'max'] as const) {
      const split = buckets[`${kind}-read`][field] > 0 || buckets[`${kind}-write`][field] > 0;
      if (buckets[`${kind}-total`][field] === 0 || !split) continue;
      const suffix = field === 'max' ? '-max' : '';
      throw new Usage(`${kind}-total${suffix} cannot be combined with ${kind}-read${suffix} or ${kind}-write${suffix}`);
    }
  }
  const counted = [buckets['iops-total'], buckets['iops-read'], buckets['iops-write']];
  if (operationSize > 0 && counted.every(({ average }) => average === 0)) {
    throw new Usage('iops-size needs a limit on operations');
  }
  for (const name of bucketNames) checkBucket(name, buckets[name]);
}

function checkBucket(name: BucketName, { average, max, maxLength }: BucketLimit): void {
  if (maxLength === 0) throw new Usage(`${name}-max-length must not be 0`);
  if (max > 0 && average === 0) throw new Usage(`${name}-max needs ${name}`);
  if (maxLength > 1 && max === 0) throw new Usage(`${name}-max-length needs ${name}-max`);
  if (max > 0 && max < average) throw new Usage(`${name}-max (${max}) must not be lower than ${name} (${average})`);
  if (max > 0 && maxLength > MAX_RATE / max) throw new Usage(`${name}-max-length is too long for ${name}-max`);
}
