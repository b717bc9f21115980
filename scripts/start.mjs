// npm start: install and build what is missing, then run `img` with the arguments given, or the demo without.
import { join } from 'node:path';
import { build } from './build.mjs';
import { installIfNeeded, root, run } from './project.mjs';

const args = process.argv.slice(2);
installIfNeeded();
const status = await build({ types: false, ifNeeded: true });
if (status !== 0) process.exit(status);

if (args.length > 0) {
  process.exitCode = run(process.execPath, [join(root, 'bin', 'img'), ...args], { cwd: process.cwd() });
} else {
  const { demo } = await import('./demo.mjs');
  process.exitCode = await demo();
}
