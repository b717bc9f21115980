/** Readers of option values, for `parse` of an option record: the text to a value, or Usage. */
import { parseSize } from '../../core/bytes/sizes.ts';
import { Usage } from '../../core/errors/block-error.ts';

/** Bytes: `64k`, `1.5G`, `0x1000`. */
export function sizeValue(text: string, option: string): number {
  return parseSize(text, option);
}

/** A whole number from `min` to `max`, decimal or `0x` hexadecimal. */
export function integerValue(min: number, max: number): (text: string, option: string) => number {
  return (text, option) => {
    const value = /^\s*[+-]?(?:0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new Usage(`${option} expects a whole number from ${min} to ${max}, not '${text}'`);
  };
}
