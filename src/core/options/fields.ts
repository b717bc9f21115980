/**
 * Constructors of option fields. A field carries its help and default, and accepts both the strings of a
 * command line and the native types of JSON, since the two get mixed in `json:` names.
 *
 * ```ts
 * const options = defineOptions({
 *   size: bytes({ help: 'Virtual size of the disk' }),                                    // number | undefined
 *   cluster_size: bytes({ help: 'Size of a cluster', default: '64k', min: 512, max: 2 * MiB, powerOfTwo: true }),
 *   preallocation: choice(['off', 'full'], { help: 'Space to reserve', default: 'off' }),  // 'off' | 'full'
 *   file: nodeRef({ help: 'Where the data lies', required: true }),
 * });
 * type MyOptions = OptionsOf<typeof options>;
 * const values = validate(options, { size: '1G' }, 'the qcow2 driver');
 * ```
 */
export {
  bool,
  bytes,
  choice,
  integer,
  type NodeRef,
  type NumberFieldOptions,
  nodeRef,
  number,
  secretId,
  type TextFieldOptions,
  text,
  textOrNull,
} from './scalars.ts';
export {
  anything,
  defineOptions,
  type EntriesOf,
  either,
  fieldsOf,
  group,
  joinOptions,
  list,
  type OptionsOf,
  type VariantOutput,
  variant,
} from './structures.ts';
