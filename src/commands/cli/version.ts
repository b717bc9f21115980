/** The version of the package, as in package.json (a test compares them). */
export const VERSION = '0.1.0';

/** The day of that version, as the man pages show it. */
export const VERSION_DATE = '2026-11-27';

/** First line of `--version`: scripts look for `qemu-img version X` when they called us by that name. */
export function versionText(programName: string): string {
  return `${programName} version ${VERSION} (blockyard)\n`;
}
