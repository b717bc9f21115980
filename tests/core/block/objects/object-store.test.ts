/** The objects of a graph: their lives, their users, their properties. */
import { rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { Backend } from '../../../../src/core/block/backend/backend.ts';
import { BlockGraph } from '../../../../src/core/block/graph/block-graph.ts';
import { operations } from '../../../../src/core/block/graph/operations.ts';
import { specFromOptions } from '../../../../src/core/block/graph/spec.ts';
import { ObjectStore } from '../../../../src/core/block/objects/index.ts';
import { driverList } from '../../../../src/drivers/index.ts';
import { tempDir } from '../../../support/temp.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

describe('ObjectStore', () => {
  test('finds an object by its kind, and says what is wrong with an id', async () => {
    const store = new ObjectStore();
    await store.add({ 'qom-type': 'secret', id: 's', data: 'swordfish' });
    expect(text(store.find('secret', 's').bytes)).toBe('swordfish');
    expect(() => store.find('secret', 't')).toThrow("there is no secret 't'");
    expect(() => store.find('throttle-group', 's')).toThrow("object 's' is of the type secret, not a throttle group");
    expect(store.list()).toEqual([{ id: 's', type: 'secret' }]);
  });

  test('an id is taken while its object is being made', async () => {
    const store = new ObjectStore();
    const definition = { 'qom-type': 'secret', id: 's', data: 'a' };
    const results = await Promise.allSettled([store.add(definition), store.add(definition)]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    await store.remove('s');
    await store.add(definition);
  });

  test('keeps what a node uses until the node is closed', async () => {
    await using graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
    await graph.objects.add({ 'qom-type': 'throttle-group', id: 'g', limits: { 'bps-total': 1000 } });
    const spec = specFromOptions('driver=throttle,throttle-group=g,file.driver=null-co');
    const settings = { user: 'the test', permissions: operations.read.image };
    const backend = await Backend.open(graph, spec, settings);
    await expect(graph.objects.remove('g')).rejects.toMatchObject({ code: 'EBUSY' });
    await backend.close();
    await graph.objects.remove('g');
    await expect(Backend.open(graph, spec, settings)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('an open that fails lets go of what it used', async () => {
    await using graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
    await graph.objects.add({ 'qom-type': 'throttle-group', id: 'g' });
    const spec = specFromOptions(
      'driver=throttle,throttle-group=g,read-only=off,file.driver=null-co,file.read-only=on',
    );
    await Backend.open(graph, spec, { user: 'the test', permissions: operations.write.image }).then(
      (backend) => backend.close(),
      () => undefined,
    );
    await graph.objects.remove('g');
  });

  const PIPES = [
    ['tls-creds-psk', 'keys.psk', { endpoint: 'server' }, 'eve:00ff\n'],
    ['tls-creds-x509', 'ca-cert.pem', {}, undefined],
    ['authz-list-file', 'rules', {}, '[]'],
  ] as const;
  test.each(PIPES)('%s takes a pipe for %s, and need not be waited for', async (type, name, options, content) => {
    const store = new ObjectStore();
    const dir = tempDir();
    const filename = `${dir}/${name}`;
    await execa('mkfifo', [filename]);
    const definition = { 'qom-type': type, id: 'o', ...options, ...(name === 'rules' ? { filename } : { dir }) };
    const stop = new AbortController();
    const given = store.add(definition, stop.signal);
    stop.abort();
    await expect(given).rejects.toMatchObject({ code: 'ECANCELED' });
    const made = store.add(definition);
    await writeFile(filename, content ?? '');
    if (content === undefined) await expect(made).rejects.toThrow('ca-cert.pem');
    else await expect(made.then(() => store.list())).resolves.toEqual([{ id: 'o', type }]);
  });

  test('rules that came out of a pipe hold without another look at it', async () => {
    const store = new ObjectStore();
    const filename = `${tempDir()}/rules`;
    await execa('mkfifo', [filename]);
    const made = store.add({ 'qom-type': 'authz-list-file', id: 'z', filename });
    await writeFile(filename, '{ "policy": "allow" }');
    await made;
    expect(store.find('authz', 'z').allows('eve')).toBe(true);
  });

  test('rules whose file has become a pipe let nobody in, at once', async () => {
    const store = new ObjectStore();
    const filename = `${tempDir()}/rules`;
    writeFileSync(filename, '{ "policy": "allow" }');
    await store.add({ 'qom-type': 'authz-list-file', id: 'z', filename });
    expect(store.find('authz', 'z').allows('eve')).toBe(true);
    rmSync(filename);
    await execa('mkfifo', [filename]);
    expect(store.find('authz', 'z').allows('eve')).toBe(false);
  });

  test('properties are read and changed by name', async () => {
    const store = new ObjectStore();
    await store.add({ 'qom-type': 'throttle-group', id: 'g', 'x-bps-total': '1k' });
    store.setProperty('g', 'limits', { 'iops-total': 5 });
    expect(store.property('g', 'limits')).toMatchObject({ 'bps-total': 1024, 'iops-total': 5 });
    expect(store.property('g', 'x-iops-total')).toBe(5);
    expect(() => store.setProperty('g', 'limits', { 'iops-read': 5 })).toThrow('cannot be combined');
    expect(store.property('g', 'x-iops-read')).toBe(0);
    expect(() => store.setProperty('g', 'x-bps-total', 1)).toThrow('cannot be changed');
    expect(() => store.property('g', 'nonsense')).toThrow("throttle-group 'g' has no property 'nonsense'");
    expect(store.properties('g')).toContainEqual({ name: 'x-bps-total', type: 'int' });
    expect(store.properties('g')).toContainEqual({ name: 'limits', type: 'ThrottleLimits' });
    expect(store.property('g', 'type')).toBe('throttle-group');
    expect(() => store.setProperty('g', 'type', 'secret')).toThrow('cannot be changed');
    await store.add({ 'qom-type': 'secret', id: 's', data: 'c3dvcmRmaXNo', format: 'base64' });
    const readable = store.properties('s').filter(({ name }) => name !== 'data');
    const shown = readable.map(({ name }) => [name, store.property('s', name)]);
    expect(Object.fromEntries(shown)).toEqual({ type: 'secret', file: '', format: 'base64', keyid: '', iv: '' });
  });
});

describe('secret', () => {
  const key = Buffer.alloc(32, 7).toString('base64');
  const iv = Buffer.from('0123456789abcdef').toString('base64');
  /** `openssl enc -aes-256-cbc -a -K 0707… -iv 3031…` of `swordfish`. */
  const wrapped = 'bBoFcVLwCdswdcLBsdO0KQ==';

  async function secret(options: Record<string, unknown>): Promise<string> {
    const store = new ObjectStore();
    await store.add({ 'qom-type': 'secret', id: 'master', data: key, format: 'base64' });
    await store.add({ 'qom-type': 'secret', id: 's', ...options });
    return text(store.find('secret', 's').bytes);
  }

  test('from the command line, from a file, encoded, encrypted', async () => {
    const file = `${tempDir()}/secret`;
    writeFileSync(file, 'sword\n');
    expect(await secret({ data: 'swordfish' })).toBe('swordfish');
    expect(await secret({ file })).toBe('sword\n');
    expect(await secret({ data: 'c3dvcmRm\naXNo\n', format: 'base64' })).toBe('swordfish');
    expect(await secret({ data: wrapped, format: 'base64', keyid: 'master', iv })).toBe('swordfish');
  });

  test.each([
    [{}, "secret 's' needs 'data' or 'file'"],
    [{ data: 'a', file: 'b' }, "secret 's' takes 'data' or 'file', not both"],
    [{ file: '/nonexistent/secret' }, "secret 's': could not read '/nonexistent/secret': No such file or directory"],
    [{ data: 'sword fish!', format: 'base64' }, "secret 's' is not in base64"],
    [{ data: 'swordfish', keyid: 'nobody', iv }, "there is no secret 'nobody'"],
    [{ data: 'swordfish', keyid: 'master' }, "option 'keyid' of secret 's' needs 'iv'"],
    [{ data: 'swordfish', iv }, "option 'iv' of secret 's' needs 'keyid'"],
    [{ data: 'swordfish', keyid: 'master', iv }, "secret 's' cannot be decrypted with that key"],
    [{ data: 'swordfish', keyid: 'master', iv: 'c3dvcmRm' }, "the iv of secret 's' is 6 bytes long, not 16"],
    [{ data: 'sword', fish: 'on' }, "secret 's' is given an option that it does not have"],
  ])('refuses %j', async (options, message) => {
    await expect(secret(options)).rejects.toThrow(message);
  });

  test('shows in no error, dump or JSON', async () => {
    const store = new ObjectStore();
    await store.add({ 'qom-type': 'secret', id: 's', data: 'swordfish' });
    const hex = Buffer.from('swordfish').toString('hex');
    const shown = [
      inspect(store, { depth: 9 }),
      JSON.stringify(store.find('secret', 's')),
      JSON.stringify(store.list()),
    ];
    for (const each of shown) expect(each.replaceAll(' ', '')).not.toMatch(new RegExp(`swordfish|${hex}`));
    expect(() => store.property('s', 'data')).toThrow("property 'data' of secret 's' cannot be read");
    // A comma that should have been doubled cuts the password in two.
    const error = await store.add({ 'qom-type': 'secret', id: 't', data: 'sword', fish: 'on' }).catch(String);
    expect(error).not.toContain('fish');
  });
});

describe('secret_keyring', () => {
  test('refuses a key that does not exist', async () => {
    const store = new ObjectStore();
    await expect(store.add({ 'qom-type': 'secret_keyring', id: 's', serial: 2 ** 31 - 1 })).rejects.toThrow(
      /^secret_keyring 's': (Could not read key '2147483647': |this system has no kernel keyring)/,
    );
  });
});
