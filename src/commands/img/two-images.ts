/** The arguments and options of commands that set one image against another. */
import type { ArgumentSpecs, OptionSpecs } from '../cli/record.ts';
import { shared } from './open-image.ts';

const options = {
  format: { ...shared.format, help: 'Format of FILE1; guessed from its content when not given' },
  secondFormat: {
    short: 'F',
    value: 'FMT',
    help: 'Format of FILE2; guessed from its content when not given',
    conflicts: ['imageOpts'],
  },
  imageOpts: { ...shared.imageOpts, help: 'FILE1 and FILE2 are lists of options (driver=…,file.filename=…)' },
} as const satisfies OptionSpecs;

const names = {
  first: { name: 'FILE1', help: 'One image' },
  second: { name: 'FILE2', help: 'The other' },
} as const satisfies ArgumentSpecs;

export const twoImages = { arguments: names, options };
