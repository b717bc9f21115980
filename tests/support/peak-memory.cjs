'use strict';
// Loaded with --require into a program under test: writes the process's peak resident memory at its end.
// VmHWM counts from exec on; the maximum of getrusage would include what our own test process had at fork.
const { readFileSync, writeFileSync } = require('node:fs');

process.on('exit', () => {
  const target = process.env.BLOCKYARD_PEAK_FILE;
  if (target === undefined) return;
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  if (line !== null) writeFileSync(target, String(Number(line[1]) * 1024));
});
