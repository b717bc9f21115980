import type * as v from 'valibot';

/** Validated option values of a driver, a command or a job. */
export type Options = Readonly<Record<string, unknown>>;

/** A schema whose output is a record of options; fields carry their help and default (`fields.ts`). */
export type OptionSchema<O extends Options = Options> = v.GenericSchema<unknown, O>;
