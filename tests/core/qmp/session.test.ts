import { describe, expect, test } from 'vitest';
import { Session } from '../../../src/core/qmp/index.ts';
import { Client, scene } from './client.ts';

const NEGOTIATE = '{"execute":"qmp_capabilities"}';

describe('a session', () => {
  test('greets, negotiates, and takes nothing else before', async () => {
    await using made = await scene();
    const client = new Client(made.service);
    expect(client.messages[0]).toEqual({
      QMP: { version: { qemu: { major: 10, minor: 0, micro: 0 }, package: 'test' }, capabilities: ['oob'] },
    });
    expect((await client.ask('query-version')).error?.class).toBe('CommandNotFound');
    expect((await client.ask('no-such')).error?.desc).toMatch(/negotiation/);
    expect((await client.ask('qmp_capabilities', { enable: ['oob', 'x'] })).error?.desc).toMatch(/enable\[1\]/);
    expect(await client.ask('qmp_capabilities', { enable: ['oob'] })).toMatchObject({ return: {} });
    expect((await client.ask('qmp_capabilities')).error?.class).toBe('CommandNotFound');
    client.send('{"exec-oob":"query-version","id":7}');
    expect((await client.until(({ id }) => id === 7)).error?.desc).toMatch(/does not support OOB/);
  });

  test('sends no event before the negotiation', async () => {
    await using made = await scene();
    const early = new Client(made.service);
    made.service.events.emit('BLOCK_EXPORT_DELETED', { id: 'e' });
    expect(early.messages).toHaveLength(1);
    expect((await made.client.event('BLOCK_EXPORT_DELETED')).data).toEqual({ id: 'e' });
  });

  test('reads byte by byte, and several commands at once in their order', async () => {
    await using made = await scene();
    const client = new Client(made.service);
    for (const byte of Buffer.from(`${NEGOTIATE} {"execute": "query-version", "id": {"deep": [1, "é"]}}\n`)) {
      client.send(Buffer.from([byte]));
    }
    await client.until(({ id }) => id !== undefined);
    client.send(Array.from({ length: 200 }, (_, id) => `{'execute':'query-commands','id':${id}}`).join(''));
    await client.until(({ id }) => id === 199);
    expect(client.messages.slice(3).map(({ id }) => id)).toEqual(Array.from({ length: 200 }, (_, id) => id));
    expect(client.messages[2]?.id).toEqual({ deep: [1, 'é'] });
  });

  test('gives ids back as they came, also those beyond 2^53', async () => {
    await using made = await scene();
    const { service } = made;
    const written: string[] = [];
    for (const pretty of [false, true]) {
      const pipe = { write: (text: string) => void written.push(text), unread: 0, pause() {}, resume() {}, end() {} };
      const session = new Session(service, pipe, { pretty });
      const ids = [
        '9007199254740993',
        '18446744073709551615',
        '-9223372036854775808',
        '1.5',
        '{"a": [1, null]}',
        '"\\ud800"',
      ];
      session.receive(Buffer.from('{"execute": "qmp_capabilities"}'));
      for (const id of ids) session.receive(Buffer.from(`{"execute": "query-block", "id": ${id}}`));
      await expect.poll(() => written.length).toBe((pretty ? 2 : 1) * (2 + ids.length));
      for (const [index, id] of ids.entries()) {
        const text = written.at(index - ids.length) ?? '';
        expect(text.replace(/": /g, '":').replace(/\s+/g, ' ')).toContain(`"id":${id.replace(/": /g, '":')}`);
        expect(JSON.parse(text)).toHaveProperty('return', []);
      }
      session.end();
    }
  });

  test('says of numbers beyond what there is which limit they break, and does not repeat long names', async () => {
    await using made = await scene();
    const { client } = made;
    const add = (size: string) => {
      client.messages.length = 0;
      client.send(
        `{"execute": "blockdev-add", "id": 0, "arguments": {"driver": "null-co", "node-name": "n", "size": ${size}}}`,
      );
      return client.until(({ id, error }) => id === 0 || error !== undefined);
    };
    expect((await add('18446744073709551616')).error?.desc).toMatch(/18446744073709551616/);
    expect((await add('9007199254740993')).error?.desc).toMatch(/9007199254740993/);
    expect((await add('1e999')).error?.desc).toMatch(/out of all range/);
    expect((await client.ask('x'.repeat(1e6))).error?.desc.length).toBeLessThan(200);
    expect(await client.refusal('query-block', { ['y'.repeat(1e6)]: 1 })).toHaveLength(
      80 + "Parameter '…' is unexpected".length,
    );
    for (const id of ['', '1', 'a b', 'ä']) {
      const options = { driver: 'file', filename: '/nowhere', size: 0 };
      expect(await client.refusal('blockdev-create', { 'job-id': id, options })).toMatch(/is no valid id of a job/);
    }
  });

  test('answers what is done before the client that has stopped sending is let go', async () => {
    await using made = await scene();
    const client = new Client(made.service);
    client.send(`${NEGOTIATE}{"execute":"query-qmp-schema","id":1}`);
    client.session.finish();
    expect((await client.until(({ id }) => id === 1)).return).toBeInstanceOf(Array);
    await expect.poll(() => client.ended).toBe(true);
  });

  const garbage: readonly (readonly [what: string, text: string | Uint8Array, error: RegExp])[] = [
    ['no JSON', 'hello world\n', /unexpected 'h'/],
    ['a list', '[1,2]', /must be a JSON object/],
    ['a string', '"x"\n', /unexpected '"'/],
    ['a closing bracket', '}\n', /unexpected '}'/],
    ['brackets that do not match', '{"a":[}]', /no valid JSON/],
    ['a key twice', '{"execute":"quit","execute":"quit"}', /second time/],
    ['a line break within a string', '{"execute":"qu\n', /control character/],
    ['no UTF-8', Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d]), /UTF-8/],
    ['a reset', Buffer.from([0x7b, 0x22, 0x61, 0xff]), /broken off/],
    ['nothing but depth', `${'['.repeat(5000)}\n`, /nested deeper than 128/],
    ['a value without end', `{"x":"${'y'.repeat(17 * 1024 * 1024)}\n`, /longer than 16777216 bytes/],
    ['no command', '{}', /lacks member 'execute'/],
    ['a number for a command', '{"execute":1}', /must be a string/],
    ['arguments that are none', '{"execute":"query-version","arguments":[]}', /must be an object/],
    ['another member', '{"execute":"query-version","what":1}', /'what' is unexpected/],
    ['out of band without asking', '{"exec-oob":"query-version"}', /'exec-oob' is unexpected/],
  ];

  test.each(garbage)('survives %s', async (_, text, error) => {
    await using made = await scene();
    const { client } = made;
    const before = client.messages.length;
    client.send(text);
    await client.until((message) => message.error !== undefined);
    expect(client.messages[before]?.error?.desc).toMatch(error);
    client.send('\n');
    expect(await client.run('query-version')).toMatchObject({ package: 'test' });
    expect(client.messages).toHaveLength(before + 2);
  });
});

describe('events that come too often', () => {
  test('are held back, the last one coming late, each key by itself', async () => {
    await using made = await scene();
    const data = (name: string, n: number) => ({
      type: 'read',
      'node-name': name,
      'sector-num': n,
      'sectors-count': 1,
    });
    for (let n = 0; n < 5; n++) made.service.events.emit('QUORUM_REPORT_BAD', data('a', n));
    made.service.events.emit('QUORUM_REPORT_BAD', data('b', 9));
    const sent = () => made.client.messages.filter(({ event }) => event).map((each) => each.data?.['sector-num']);
    expect(sent()).toEqual([0, 9]);
    await made.client.event('QUORUM_REPORT_BAD', (each) => each['sector-num'] === 4);
    expect(sent()).toEqual([0, 9, 4]);
  });
});
