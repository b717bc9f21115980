/**
 * Blockyard as a library: the same block layer that the commands use, for programs.
 *
 * What belongs here: names that a program may rely on, re-exported from the rooms that define them.
 * What does not: any code of its own.
 */
export * from './core/errors/block-error.ts';
