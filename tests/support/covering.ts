/** A short list of cases in which every pair (or triple …) of values of different dimensions occurs together. */
import { Random } from './random.ts';

export type Dimensions = Readonly<Record<string, readonly unknown[]>>;
export type Case<D extends Dimensions> = { readonly [K in keyof D]: D[K][number] };

export interface CoveringOptions<D extends Dimensions> {
  /** False for combinations that do not exist. Also asked about unfinished cases, whose other values are absent. */
  valid(candidate: Partial<Case<D>>): boolean;
  /** How many values must meet: 2 for pairs. */
  readonly strength: number;
  readonly seed: number;
}

/** Candidates tried for each case; the one that covers most is taken. */
const CANDIDATES = 40;

/** A greedy covering list: not the shortest, but each case takes the most new combinations of those tried. */
export function coveringCases<D extends Dimensions>(dimensions: D, options: CoveringOptions<D>): Case<D>[] {
  const random = new Random(options.seed);
  const names = Object.keys(dimensions);
  const groups = combinations(names, options.strength);
  const open = new Map<string, Partial<Case<D>>>();
  for (const group of groups) {
    for (const partial of product<D>(dimensions, group)) {
      if (options.valid(partial)) open.set(keyOf(partial, group), partial);
    }
  }
  const cases: Case<D>[] = [];
  for (let [key, partial] = first(open); partial !== undefined; [key, partial] = first(open)) {
    let best: { candidate: Case<D>; covers: string[] } | undefined;
    for (let attempt = 0; attempt < CANDIDATES; attempt++) {
      const candidate = complete(dimensions, partial, options.valid, random);
      if (candidate === undefined) continue;
      const covers = groups.map((group) => keyOf(candidate, group)).filter((each) => open.has(each));
      if (best === undefined || covers.length > best.covers.length) best = { candidate, covers };
    }
    if (best === undefined) {
      open.delete(key); // no case has this combination
      continue;
    }
    cases.push(best.candidate);
    for (const covered of best.covers) open.delete(covered);
  }
  return cases;
}

function complete<D extends Dimensions>(
  dimensions: D,
  partial: Partial<Case<D>>,
  valid: CoveringOptions<D>['valid'],
  random: Random,
): Case<D> | undefined {
  let candidate: Partial<Case<D>> = partial;
  for (const name of random.shuffled(Object.keys(dimensions))) {
    if (Object.hasOwn(candidate, name)) continue;
    const next = random
      .shuffled(dimensions[name] ?? [])
      .map((value) => ({ ...candidate, [name]: value }))
      .find((each) => valid(each));
    if (next === undefined) return undefined;
    candidate = next;
  }
  return candidate as Case<D>;
}

function combinations(names: readonly string[], size: number): string[][] {
  if (size === 0) return [[]];
  return names.flatMap((name, index) => combinations(names.slice(index + 1), size - 1).map((rest) => [name, ...rest]));
}

function product<D extends Dimensions>(dimensions: D, group: readonly string[]): Partial<Case<D>>[] {
  let list: Record<string, unknown>[] = [{}];
  for (const name of group) {
    list = list.flatMap((each) => (dimensions[name] ?? []).map((value) => ({ ...each, [name]: value })));
  }
  return list as Partial<Case<D>>[];
}

function keyOf<D extends Dimensions>(values: Partial<Case<D>>, group: readonly string[]): string {
  return group.map((name) => `${name}=${String(values[name])}`).join(' ');
}

function first<K, V>(map: ReadonlyMap<K, V>): [K, V] | [never, undefined] {
  for (const entry of map) return entry;
  return [undefined as never, undefined];
}
