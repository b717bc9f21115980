// npm run bench:startup: what starting `img` costs, against an empty Node. Medians in milliseconds over
// interleaved runs, and the shortest; the last column is the ratio to `node -e 0`, to be at most 1.5 for `img info`.
//
//   node scripts/startup.mjs [RUNS] [NODE]      default 21 runs with this Node
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from './build.mjs';
import { root } from './project.mjs';

const runs = Number(process.argv[2] ?? 21);
const node = process.argv[3] ?? process.execPath;
const img = join(root, 'bin', 'img');

const status = await build({ types: false, ifNeeded: true });
if (status !== 0) process.exit(status);
const folder = mkdtempSync(join(tmpdir(), 'blockyard-startup-'));
try {
  const image = join(folder, 'small.qcow2');
  spawnSync(node, [img, 'create', '-q', '-f', 'qcow2', image, '64M'], { stdio: 'inherit' });
  measure([
    ['node -e 0', ['-e', '0']],
    ['io --version', [join(root, 'bin', 'io'), '--version']],
    ['img --version', [img, '--version']],
    ['img info small.qcow2', [img, 'info', image]],
    ['img measure --size 1G', [img, 'measure', '-O', 'qcow2', '--size', '1G']],
    ['img --help', [img, '--help']],
  ]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function measure(cases) {
  const times = cases.map(() => []);
  for (let round = 0; round < runs; round++) {
    for (const [index, [name, args, expected = 0]] of cases.entries()) {
      const begin = performance.now();
      const result = spawnSync(node, args, { stdio: 'ignore' });
      times[index].push(performance.now() - begin);
      if (result.status !== expected) throw new Error(`${name} ended with status ${result.status}`);
    }
  }
  for (const list of times) list.sort((a, b) => a - b);
  const medians = times.map((list) => list[list.length >> 1]);
  for (const [index, [name]] of cases.entries()) {
    const ratio = medians[index] / medians[0];
    process.stdout.write(
      `${name.padEnd(24)} ${figure(medians[index])} ms ${figure(times[index][0])} ms  ${ratio.toFixed(2)}\n`,
    );
  }
}

function figure(ms) {
  return ms.toFixed(1).padStart(7);
}
