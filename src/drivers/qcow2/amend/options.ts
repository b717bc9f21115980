/**
 * What can be changed in an existing image; none has a default: what is not given stays. A backing file can only be
 * given as it is already (`rebase` is there to change it), and `data_file_raw` can only be taken back.
 */
import { bool, bytes, choice, defineOptions, integer, type OptionsOf, text } from '../../../core/options/fields.ts';
import { amendEncryptOption } from '../encryption/amend.ts';

export const amendOptions = defineOptions({
  backing_file: text({ help: 'File name of a base image' }),
  backing_fmt: text({ help: 'Image format of the base image' }),
  compat: choice(['0.10', '1.1', 'v2', 'v3'], { help: 'Compatibility level (v2 [0.10] or v3 [1.1])' }),
  data_file: text({ help: 'File name of an external data file', nonEmpty: true }),
  data_file_raw: bool({ help: 'The external data file must stay valid as a raw image' }),
  encrypt: amendEncryptOption,
  lazy_refcounts: bool({ help: 'Postpone refcount updates' }),
  refcount_bits: integer({ help: 'Width of a reference count entry in bits', min: 1, max: 64, powerOfTwo: true }),
  size: bytes({ help: 'Virtual disk size' }),
});

export type AmendOptions = OptionsOf<typeof amendOptions>;
