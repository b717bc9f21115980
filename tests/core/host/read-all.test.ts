import { appendFileSync, closeSync, openSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { readAll } from '../../../src/core/host/index.ts';
import { tempDir } from '../../support/temp.ts';

async function pipe(): Promise<string> {
  const path = `${tempDir()}/pipe`;
  await execa('mkfifo', [path]);
  return path;
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

describe('readAll', () => {
  test('reads a file to its end, up to the limit', async () => {
    const path = `${tempDir()}/file`;
    writeFileSync(path, '');
    expect(text(await readAll(path, 4))).toBe('');
    writeFileSync(path, 'abcd');
    expect(text(await readAll(path, 4))).toBe('abcd');
    await expect(readAll(path, 3)).rejects.toMatchObject({ code: 'EFBIG', message: 'it is longer than 3 bytes' });
    await expect(readAll(`${path}-not`, 3)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('waits for the writer of a pipe, and for all that it writes', async () => {
    const path = await pipe();
    const read = readAll(path, 100);
    const writer = execa('sh', ['-c', `{ printf one; sleep 0.2; printf two; } > ${path}`]);
    expect(text(await read)).toBe('onetwo');
    await writer;
  });

  test('takes a pipe whose writer wrote nothing for an empty one', async () => {
    const path = await pipe();
    const read = readAll(path, 100);
    await sleep(50);
    closeSync(openSync(path, 'w'));
    expect(text(await read)).toBe('');
  });

  test('many that wait for pipes keep nobody else from reading', async () => {
    const paths = await Promise.all(Array.from({ length: 24 }, pipe));
    const reads = paths.map((path) => readAll(path, 100));
    await sleep(50);
    const other = `${tempDir()}/file`;
    writeFileSync(other, 'other');
    expect(text(await readAll(other, 100))).toBe('other');
    for (const path of paths) appendFileSync(path, 'x');
    expect((await Promise.all(reads)).map(text)).toEqual(paths.map(() => 'x'));
  });

  test('gives up when told to', async () => {
    const stop = new AbortController();
    const read = readAll(await pipe(), 100, stop.signal);
    stop.abort();
    await expect(read).rejects.toMatchObject({ code: 'ECANCELED' });
  });
});
