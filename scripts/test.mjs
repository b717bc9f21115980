// npm test [-- words]: build, check types and style, run the tests, and end with one line that counts them.
//
//   npm test                    everything
//   npm test -- qcow2           only test files whose path contains "qcow2" (further vitest arguments work too)
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from './build.mjs';
import { tool } from './project.mjs';

const args = process.argv.slice(2);
/** Words or flags: a part of the tests was asked for, so leave out what is about the whole project. */
const partial = args.length > 0;

const failed = [];
await stage('build', () => build({ types: false, ifNeeded: true }));
if (!partial) {
  await stage('types', () => tool('typescript', 'bin/tsc', ['--noEmit', '-p', '.']));
  await stage('lint', () => tool('@biomejs/biome', 'bin/biome', ['ci', '--colors=off']));
}
const counts = runTests();
if (failed.length > 0) process.stdout.write(`\nnot in order besides the tests: ${failed.join(', ')}\n`);
process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
process.exitCode = failed.length > 0 || counts.failed > 0 || counts.passed === 0 ? 1 : 0;

/** Run one step that comes before the tests; a failure is remembered, and shown again at the end. */
async function stage(name, action) {
  const begin = performance.now();
  const status = await action();
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  process.stdout.write(`${name}: ${status === 0 ? 'ok' : `failed with status ${status}`} (${seconds} s)\n`);
  if (status !== 0) failed.push(name);
}

/** Run vitest and count. What failed without being a test (a file, the setup) counts as one failure. */
function runTests() {
  const folder = mkdtempSync(join(tmpdir(), 'blockyard-test-'));
  const report = join(folder, 'report.json');
  try {
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const status = tool('vitest', 'vitest.mjs', ['run', ...reporters, ...args]);
    const { passed, failed, skipped } = count(report);
    return { passed, failed: status === 0 ? failed : Math.max(failed, 1), skipped };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function count(report) {
  if (!existsSync(report)) return { passed: 0, failed: 0, skipped: 0 };
  const result = JSON.parse(readFileSync(report, 'utf8'));
  const broken = result.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
  return {
    passed: result.numPassedTests,
    failed: result.numFailedTests + broken.length,
    skipped: result.numPendingTests + result.numTodoTests,
  };
}
