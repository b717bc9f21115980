/**
 * Errors: the one class of what a user caused or can act on, its few kinds, and its errno-like codes.
 *
 * What belongs here: what callers branch on, and the turning of any thrown value into it. What does not:
 * printing, exit statuses, and the mapping of codes to what a wire protocol or the control socket calls them.
 */
export * from './block-error.ts';
