/** Limits that blkdebug pretends to have, so that the code above can be tested with them. */
import type { Limits } from '../../core/block/driver.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import type { BlkdebugOptions } from './options.ts';

/** Largest alignment or limit in bytes. */
export const MAX_ALIGNMENT = 2 ** 30;

type Name = 'align' | 'max-transfer' | 'opt-write-zero' | 'max-write-zero' | 'opt-discard' | 'max-discard';

/** The limits of the child with those of the options in their place; throws for ones that contradict each other. */
export function limitsFrom(options: BlkdebugOptions, child: Limits): Limits {
  const { align } = options;
  if (align > 0 && !Number.isInteger(Math.log2(align))) throw bad('align', align, 'a power of two');
  const unit = Math.max(align, child.requestAlignment ?? 1);
  const multiple = (name: Name, of: number) => {
    if (options[name] % of !== 0) throw bad(name, options[name], `a multiple of ${of} bytes`);
  };
  multiple('max-transfer', unit);
  multiple('opt-write-zero', unit);
  multiple('max-write-zero', Math.max(options['opt-write-zero'], unit));
  multiple('opt-discard', unit);
  multiple('max-discard', Math.max(options['opt-discard'], unit));
  return {
    ...child,
    requestAlignment: unit,
    ...given('maxTransfer', options['max-transfer']),
    ...given('zeroAlignment', options['opt-write-zero']),
    ...given('maxZero', options['max-write-zero']),
    ...given('discardAlignment', options['opt-discard']),
    ...given('maxDiscard', options['max-discard']),
  };
}

function given(name: keyof Limits, value: number): Limits {
  return value > 0 ? { [name]: value } : {};
}

function bad(name: Name, value: number, what: string): BlockError {
  return new BlockError(`option '${name}' of driver 'blkdebug' must be ${what}, not ${value}`);
}
