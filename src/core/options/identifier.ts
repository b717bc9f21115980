/** Ids that users give to objects, jobs and exports. */

const PATTERN = /^[A-Za-z][A-Za-z0-9._-]*$/;

/** What an id must be, for a hint. */
export const IDENTIFIER_HINT = "A letter, then letters, digits, '-', '.' and '_'";

export function isIdentifier(text: string): boolean {
  return PATTERN.test(text);
}
