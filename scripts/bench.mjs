// npm run bench [-- arguments]: build, then bundle tests/bench/bench.ts and run it with Node. It is bundled because
// Node 20 does not run TypeScript; packages stay outside, and the current folder is the project's. What it starts in a
// process or a thread of its own is bundled too.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.mjs';
import { installIfNeeded, root, run } from './project.mjs';

const entry = join(root, 'tests', 'bench', 'bench.ts');
const output = join(root, 'node_modules', '.cache', 'blockyard');

installIfNeeded();
if (!existsSync(entry)) {
  process.stderr.write(`${entry} does not exist: there is nothing to measure yet\n`);
  process.exit(1);
}
const status = await build({ types: false, ifNeeded: true });
if (status !== 0) process.exit(status);

const { rolldown } = await import('rolldown');
const bundles = [
  { file: 'bench.mjs', input: join('tests', 'bench', 'bench.ts') },
  { file: 'cached-reads.mjs', input: join('tests', 'bench', 'cached-reads.ts') },
  { file: 'traced-reads.mjs', input: join('tests', 'bench', 'traced-reads.ts') },
  { file: 'trace-thread.cjs', input: join('src', 'core', 'trace', 'thread.ts') },
];
for (const { file, input } of bundles) {
  const session = await rolldown({
    input: join(root, input),
    cwd: root,
    platform: 'node',
    tsconfig: false,
    external: (id) => !id.startsWith('.') && !id.startsWith('/') && !id.includes('oxc-project'),
    transform: { target: 'es2022' },
  });
  await session.write({
    file: join(output, file),
    format: file.endsWith('.cjs') ? 'cjs' : 'es',
    sourcemap: 'inline',
    codeSplitting: false,
  });
  await session.close();
}
// Node reads all these certificates whenever it starts, which is the machine's business and not ours to measure.
delete process.env.NODE_EXTRA_CA_CERTS;
process.exitCode = run(process.execPath, ['--enable-source-maps', join(output, 'bench.mjs'), ...process.argv.slice(2)]);
