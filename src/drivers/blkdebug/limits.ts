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
    // The filter passes them on, or declines them.
    takesParts: true,
    ...given('maxTransfer', options['max-transfer']),
    ...granularity('zeroAlignment', options['opt-write-zero'], options['max-write-zero'], child),
    ...given('maxZero', options['max-write-zero']),
    ...granularity('discardAlignment', options['opt-discard'], options['max-discard'], child),
    ...given('maxDiscard', options['max-discard']),
  };
}

/** That of the options, or of the child, unless requests may not be as long: the child puts them right then. */
function granularity(
  name: 'zeroAlignment' | 'discardAlignment',
  optimum: number,
  longest: number,
  child: Limits,
): Limits {
  if (optimum > 0) return { [name]: optimum };
  const { [name]: inherited = 1 } = child;
  return longest > 0 && longest < inherited ? { [name]: 1 } : {};
}

function given(name: keyof Limits, value: number): Limits {
  return value > 0 ? { [name]: value } : {};
}

function bad(name: Name, value: number, what: string): BlockError {
  return new BlockError(`option '${name}' of driver 'blkdebug' must be ${what}, not ${value}`);
}
