/**
 * The library: opening, making and converting images in few words.
 *
 * What belongs here: functions for programs that join the block layer with the list of drivers, as the commands do.
 * What does not: work of their own, which is core's, and anything that prints or reads a command line.
 */
export { type ConvertImageOptions, convert } from './convert.ts';
export { type CreateImageOptions, createImage } from './create.ts';
export { type GraphOptions, newGraph, type ObjectOptions, type OpenImageOptions, openImage } from './open.ts';
