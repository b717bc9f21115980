/** Folders for tests, each removed with everything in it when its test or suite ends. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, onTestFinished } from 'vitest';

/** Call within a test: a new empty folder, removed when the test has finished. */
export function tempDir(): string {
  const folder = newFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Call in the body of a `describe` or of a file: a new empty folder, removed after its last test. */
export function tempDirForSuite(): string {
  const folder = newFolder();
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** BLOCKYARD_TMP, when set, is where the folders go (a filesystem to test on). */
function newFolder(): string {
  return mkdtempSync(join(process.env.BLOCKYARD_TMP ?? tmpdir(), 'blockyard-'));
}
