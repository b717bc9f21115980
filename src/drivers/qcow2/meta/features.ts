/** Feature bits of the header (specification, "Header") and the table that gives them names. */

export const Incompatible = {
  DIRTY: 1n << 0n,
  CORRUPT: 1n << 1n,
  DATA_FILE: 1n << 2n,
  COMPRESSION: 1n << 3n,
  EXTENDED_L2: 1n << 4n,
} as const;

export const Compatible = {
  LAZY_REFCOUNTS: 1n << 0n,
} as const;

export const Autoclear = {
  BITMAPS: 1n << 0n,
  DATA_FILE_RAW: 1n << 1n,
} as const;

export const KNOWN_INCOMPATIBLE = union(Incompatible);
export const KNOWN_COMPATIBLE = union(Compatible);
export const KNOWN_AUTOCLEAR = union(Autoclear);

/** Which of the three masks a bit belongs to, as the feature name table numbers them. */
export const FeatureGroup = { INCOMPATIBLE: 0, COMPATIBLE: 1, AUTOCLEAR: 2 } as const;

export interface FeatureName {
  readonly group: number;
  readonly bit: number;
  readonly name: string;
}

const NAME_ENTRY_BYTES = 48;
const NAME_BYTES = 46;

/** The names this driver writes into new images. */
export const FEATURE_NAMES: readonly FeatureName[] = [
  { group: FeatureGroup.INCOMPATIBLE, bit: 0, name: 'dirty bit' },
  { group: FeatureGroup.INCOMPATIBLE, bit: 1, name: 'corrupt bit' },
  { group: FeatureGroup.INCOMPATIBLE, bit: 2, name: 'external data file' },
  { group: FeatureGroup.INCOMPATIBLE, bit: 3, name: 'compression type' },
  { group: FeatureGroup.INCOMPATIBLE, bit: 4, name: 'extended L2 entries' },
  { group: FeatureGroup.COMPATIBLE, bit: 0, name: 'lazy refcounts' },
  { group: FeatureGroup.AUTOCLEAR, bit: 0, name: 'bitmaps' },
  { group: FeatureGroup.AUTOCLEAR, bit: 1, name: 'raw external data' },
];

/** Decode a feature name table; a trailing part of an entry is ignored. */
export function decodeFeatureNames(data: Uint8Array): FeatureName[] {
  const names: FeatureName[] = [];
  for (let at = 0; at + NAME_ENTRY_BYTES <= data.length; at += NAME_ENTRY_BYTES) {
    const text = data.subarray(at + 2, at + NAME_ENTRY_BYTES);
    const end = text.indexOf(0);
    const name = Buffer.from(end < 0 ? text : text.subarray(0, end)).toString('utf8');
    names.push({ group: data[at] ?? 0, bit: data[at + 1] ?? 0, name });
  }
  return names;
}

export function encodeFeatureNames(names: readonly FeatureName[]): Uint8Array {
  const data = Buffer.alloc(names.length * NAME_ENTRY_BYTES);
  names.forEach(({ group, bit, name }, index) => {
    const at = index * NAME_ENTRY_BYTES;
    data[at] = group;
    data[at + 1] = bit;
    data.write(name, at + 2, NAME_BYTES, 'utf8');
  });
  return data;
}

/** The bits of `mask` in words, those without a name by number; control characters are taken out. */
export function describeFeatures(mask: bigint, group: number, table: readonly FeatureName[]): string[] {
  const words: string[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if (((mask >> BigInt(bit)) & 1n) === 0n) continue;
    const known = table.find((entry) => entry.group === group && entry.bit === bit);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a name from a file must not reach a terminal raw
    const name = known?.name.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
    words.push(name ? `'${name}' (bit ${bit})` : `bit ${bit}`);
  }
  return words;
}

function union(bits: Readonly<Record<string, bigint>>): bigint {
  return Object.values(bits).reduce((mask, bit) => mask | bit, 0n);
}
