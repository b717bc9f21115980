/** The storage daemon: where control clients come in, credentials, and what it shows of its accounts. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import tls from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { serveMetrics } from '../../../src/commands/nbd/metrics.ts';
import { serveStats } from '../../../src/commands/nbd/stats-socket.ts';
import { userOf } from '../../core/qmp/chain.ts';
import { scene } from '../../core/qmp/client.ts';
import { makeCertificates } from '../../support/certificates.ts';
import { programPath, runProgram } from '../../support/cli.ts';
import { peersFor, runPeer } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';
import { start } from '../../support/tracked-child.ts';

const MiB = 1024 * 1024;

type Message = Readonly<Record<string, unknown>>;

/** Lines of JSON from a socket, one after the other. */
class Lines {
  readonly socket: net.Socket;
  readonly #lines: AsyncIterator<string>;

  constructor(socket: net.Socket) {
    this.socket = socket;
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]();
    onTestFinished(() => void socket.destroy());
  }

  async next(): Promise<Message> {
    const { value } = await this.#lines.next();
    return JSON.parse(value as string) as Message;
  }

  async ask(execute: string, args: object = {}): Promise<Message> {
    this.socket.write(JSON.stringify({ execute, arguments: args }));
    for (;;) {
      const message = await this.next();
      if ('return' in message || 'error' in message) return message;
    }
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function daemon(args: readonly string[], ready: string): Promise<void> {
  const running = start(programPath('nbd'), args);
  await expect.poll(() => fs.existsSync(ready) || running.child.exitCode !== null).toBe(true);
  if (!fs.existsSync(ready)) throw new Error(`the daemon did not start: ${running.output()}`);
}

async function withAccounts() {
  const made = await scene();
  await made.client.run('blockdev-add', { driver: 'null-co', 'node-name': 'n', size: MiB, 'read-zeroes': true });
  const user = userOf(made, 'n');
  await user.read(0, Buffer.alloc(4096));
  await user.read(4096, Buffer.alloc(512));
  await user.write(0, Buffer.alloc(1024));
  onTestFinished(async () => {
    await user.close();
    await made[Symbol.asyncDispose]();
  });
  return made;
}

describe('accounts', () => {
  test('--stats sends a line to each reader at once', async () => {
    const { service } = await withAccounts();
    const socket = path.join(tempDir(), 's');
    onTestFinished(await serveStats(service.graph, `unix:${socket},interval=3600`));
    for (let i = 0; i < 2; i++) {
      const line = await new Lines(net.connect(socket)).next();
      expect(line).toMatchObject({
        time: expect.any(Number),
        exports: [{ device: 'e', 'node-name': 'n', stats: { rd_bytes: 4608, rd_operations: 2, wr_bytes: 1024 } }],
        nodes: [{ 'node-name': 'n', stats: { rd_operations: 2, wr_operations: 1 } }],
      });
    }
    await expect(serveStats(service.graph, 'tcp:localhost:1')).rejects.toThrow(/unix:PATH/);
    for (const wrong of ['0', '0.001', '1e3', 'x', '86401', '1.']) {
      await expect(serveStats(service.graph, `unix:${socket},interval=${wrong}`)).rejects.toThrow(
        `'interval' must be 0.01 to 86400 seconds, not '${wrong}'`,
      );
    }
  });

  test('--stats goes on in fractions of a second', async () => {
    const { service } = await withAccounts();
    const socket = path.join(tempDir(), 's');
    onTestFinished(await serveStats(service.graph, `unix:${socket},interval=.02`));
    const lines = new Lines(net.connect(socket));
    const times = [await lines.next(), await lines.next(), await lines.next()].map(({ time }) => Number(time));
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
  });

  test('--metrics answers in the text format of Prometheus, anew each time', async () => {
    const made = await withAccounts();
    const port = await freePort();
    onTestFinished(await serveMetrics(made.service, `tcp:127.0.0.1:${port}`));
    const get = async (where: string) => fetch(`http://127.0.0.1:${port}${where}`);
    const answer = await get('/metrics');
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = await answer.text();
    expect(text).toContain('# TYPE blockyard_operations_total counter');
    expect(text).toContain('blockyard_operations_total{scope="export",name="e",operation="read"} 2');
    expect(text).toContain('blockyard_bytes_total{scope="node",name="n",operation="write"} 1024');
    expect(await (await get('/metrics')).text()).toContain('{scope="export",name="e",operation="read"} 2');
    expect(text).toMatch(/^blockyard_idle_seconds\{scope="export",name="e"\} [\d.e-]+$/m);
    expect(text).not.toContain('blockyard_latency_seconds_bucket{');
    await made.client.run('block-latency-histogram-set', { id: 'n', 'boundaries-read': [1, 1e10] });
    await made.service.graph.find('n').io.read(0, Buffer.alloc(512));
    const slots = (await (await get('/metrics')).text()).match(/(?<=^blockyard_latency_seconds_bucket).*/gm);
    expect(slots).toEqual([
      '{scope="node",name="n",operation="read",le="1e-9"} 0',
      '{scope="node",name="n",operation="read",le="10"} 1',
      '{scope="node",name="n",operation="read",le="+Inf"} 1',
    ]);
    expect((await get('/')).status).toBe(404);
    expect((await fetch(`http://127.0.0.1:${port}/metrics`, { method: 'POST' })).status).toBe(405);
    await expect(serveMetrics(made.service, 'unix:/x')).rejects.toThrow(/tcp:HOST:PORT/);
    await expect(serveMetrics(made.service, `tcp:127.0.0.1:${port}`)).rejects.toThrow(/cannot listen/);
  });
});

describe('control clients', () => {
  test('come in over TCP, and over a chardev with a monitor', async () => {
    const socket = path.join(tempDir(), 'q');
    const port = await freePort();
    const chardev = ['--chardev', `socket,id=c,path=${socket},server=on,wait=off`, '--monitor', 'chardev=c,pretty=off'];
    await daemon(['--qmp', `tcp:127.0.0.1:${port}`, ...chardev], socket);
    const first = new Lines(net.connect(port, '127.0.0.1'));
    expect(await first.next()).toMatchObject({ QMP: { capabilities: ['oob'] } });
    const second = new Lines(net.connect(socket));
    expect(await second.next()).toMatchObject({ QMP: {} });
    for (const client of [first, second]) expect(await client.ask('qmp_capabilities')).toEqual({ return: {} });
    await first.ask('blockdev-add', { driver: 'null-co', 'node-name': 'n' });
    expect(await second.ask('blockdev-del', { 'node-name': 'n' })).toEqual({ return: {} });
    expect(await second.ask('quit')).toEqual({ return: {} });
    expect(await first.next()).toMatchObject({ event: 'SHUTDOWN', data: { reason: 'host-qmp-quit' } });
  });

  test('wait for the one before them at a chardev', async () => {
    const socket = path.join(tempDir(), 'q');
    await daemon(['--chardev', `socket,id=c,path=${socket},server=on,wait=off`, '--monitor', 'chardev=c'], socket);
    const first = new Lines(net.connect(socket));
    expect(await first.next()).toMatchObject({ QMP: {} });
    const [gone, second] = [net.connect(socket), new Lines(net.connect(socket))];
    let greeted = false;
    const greeting = second.next().then((message) => {
      greeted = true;
      return message;
    });
    gone.destroy();
    // What is sent ahead waits with its sender, as in the kernel's queue.
    second.socket.write('{"execute": "qmp_capabilities"}');
    expect(await first.ask('qmp_capabilities')).toEqual({ return: {} });
    expect(await first.ask('blockdev-add', { driver: 'null-co', 'node-name': 'n' })).toEqual({ return: {} });
    expect(greeted).toBe(false);
    first.socket.destroy();
    expect(await greeting).toMatchObject({ QMP: {} });
    expect(await second.next()).toEqual({ return: {} });
    expect(await second.ask('quit')).toEqual({ return: {} });
  });

  test('are waited for at their own socket when the daemon connects', async () => {
    const socket = path.join(tempDir(), 'q');
    const server = net.createServer();
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    onTestFinished(() => void server.close());
    const came = new Promise<net.Socket>((resolve) => server.once('connection', resolve));
    start(programPath('nbd'), ['--chardev', `socket,id=c,path=${socket}`, '--monitor', 'c']);
    const client = new Lines(await came);
    expect(await client.next()).toMatchObject({ QMP: {} });
    expect(await client.ask('qmp_capabilities')).toEqual({ return: {} });
    expect(await client.ask('quit')).toEqual({ return: {} });
  });

  test.each([
    [['--monitor', 'chardev=c'], /no chardev 'c'/],
    [['--chardev', 'pty,id=c'], /'pty' is not supported/],
    [['--chardev', 'socket,id=c'], /needs 'path', or 'host' and 'port'/],
    [['--chardev', 'socket,id=c,path=/x,host=y,port=1'], /takes one/],
    [['--chardev', 'socket,id=c,path=/x,server=on,tls-creds=t'], /no set of credentials for TLS 't'/],
    [['--chardev', 'socket,id=c,path=/x,tls-creds=t'], /'tls-creds' needs server=on/],
    [['--chardev', 'socket,id=c,host=::1,port=1,ipv4=on,server=on'], /'::1' is no address of IPv4/],
    [['--chardev', 'socket,id=c,host=localhost,port=1,to=2'], /'to' is for addresses to listen on/],
    [['--chardev', 'socket,id=c,path=/x,ipv6=on'], /'ipv6' needs 'host' and 'port'/],
    [['--nbd-server', 'addr.type=inet,addr.host=::1,addr.port=9,addr.to=8'], /'to' is 8, less than the port 9/],
    [['--nbd-server', 'addr.type=inet,addr.host=::1,addr.port=9,addr.mptcp=on'], /mptcp=on is not supported/],
    [['--chardev', 'stdio,id=c', '--monitor', 'c,mode=readline'], /readline/],
    [['--chardev', 'stdio,id=c', '--chardev', 'stdio,id=c'], /already a chardev/],
    [['--qmp', 'udp:1'], /expects unix:PATH/],
    [['--qmp', 'unix:/x,tls-creds=t'], /no set of credentials for TLS 't'/],
    [['--qmp', 'unix:/x,tls-authz=t'], /'tls-authz' needs 'tls-creds'/],
    [['--qmp', 'stdio,tls-creds=t'], /takes no TLS/],
    [['--qmp', 'unix:/x,server=off'], /only listens/],
    [['--qmp', 'unix:/x,servers=on'], /servers/],
    [['--blockdev', 'null-co,node-name=n', '--export', 'nbd,id=e,node-name=n,werror=maybe'], /werror.*maybe/],
    [['--qmp', 'tcp:localhost:70000'], /70000/],
    [['--qmp', 'unix:/no/such/folder/q'], /no\/such/],
    [['--blockdev', 'node-name=x'], /driver/],
    [['--nbd-server', 'addr.type=unix'], /path/],
  ])('%j is one line', async (args, why) => {
    const { code, stderr } = await runProgram('nbd', args);
    expect(stderr).toMatch(why);
    expect(stderr.trim().split('\n').length).toBeLessThanOrEqual(2);
    expect(code).toBe(1);
  });
});

describe.skipIf(peersFor('nbdinfo', 'openssl').missing)('nbd-server-start with TLS', () => {
  test('lets in who has a certificate, and nobody without', async () => {
    const dir = tempDir();
    await makeCertificates(dir, { hosts: ['localhost'] });
    const [control, served] = [path.join(dir, 'q'), path.join(dir, 'n')];
    await daemon(['--object', `tls-creds-x509,id=t,dir=${dir},endpoint=server`, '--qmp', `unix:${control}`], control);
    const client = new Lines(net.connect(control));
    await client.next();
    await client.ask('qmp_capabilities');
    await client.ask('blockdev-add', { driver: 'null-co', 'node-name': 'n', size: MiB });
    const addr = { type: 'unix', data: { path: served } };
    expect(await client.ask('nbd-server-start', { addr, 'tls-creds': 'none' })).toMatchObject({ error: {} });
    expect(await client.ask('nbd-server-start', { addr, 'tls-authz': 'none' })).toMatchObject({
      error: { desc: "'tls-authz' needs 'tls-creds'" },
    });
    expect(await client.ask('nbd-server-start', { addr, 'tls-creds': 't' })).toEqual({ return: {} });
    const served1 = { type: 'nbd', id: 'e', 'node-name': 'n' };
    expect(await client.ask('block-export-add', served1)).toEqual({ return: {} });
    const uri = `unix:///n?socket=${served}`;
    const good = await runPeer('nbdinfo', ['--size', `nbds+${uri}&tls-certificates=${dir}&tls-hostname=localhost`]);
    expect([good.stdout.trim(), good.code]).toEqual([String(MiB), 0]);
    expect((await runPeer('nbdinfo', [`nbd+${uri}`])).code).not.toBe(0);
    expect(await client.ask('nbd-server-stop')).toEqual({ return: {} });
    await client.ask('quit');
  });
});

describe.skipIf(peersFor('openssl').missing)('control sockets with TLS', () => {
  test('let in who has a certificate and may come in, and nobody else', async () => {
    const dir = tempDir();
    await makeCertificates(dir, { hosts: ['localhost'] });
    const control = path.join(dir, 'q');
    const objects = [
      ...['--object', `tls-creds-x509,id=t,dir=${dir},endpoint=server`],
      ...['--object', 'authz-list,id=all,policy=allow', '--object', 'authz-list,id=none,policy=deny'],
    ];
    const [port, short] = [await freePort(), await freePort()];
    const qmp = ['--qmp', `tcp:localhost:${short},tls-creds=t,tls-authz=all`];
    const place = (id: string, where: string, authz: string): string[] => [
      ...['--chardev', `socket,id=${id},${where},server=on,wait=off,tls-creds=t,tls-authz=${authz}`],
      ...['--monitor', id],
    ];
    const refusing = [...place('a', `host=localhost,port=${port}`, 'all'), ...place('b', `path=${dir}/b`, 'none')];
    await daemon([...objects, ...refusing, ...qmp, ...place('c', `path=${control}`, 'all')], control);
    const read = (name: string) => fs.readFileSync(path.join(dir, name));
    const secrets = { ca: read('ca-cert.pem'), cert: read('client-cert.pem'), key: read('client-key.pem') };
    const answer = (socket: net.Socket) =>
      new Promise<string>((resolve) => {
        socket.on('error', () => resolve('failed')).on('close', () => resolve('closed'));
        socket.on('data', (data: Buffer) => resolve(data.toString()));
        socket.write('{"execute": "qmp_capabilities"}');
      });
    for (const at of [port, short]) {
      expect(await answer(net.connect(at, 'localhost'))).not.toMatch('QMP');
      expect(await answer(tls.connect({ port: at, host: 'localhost', ca: secrets.ca }))).not.toMatch('QMP');
    }
    expect(await answer(tls.connect({ path: `${dir}/b`, servername: 'localhost', ...secrets }))).not.toMatch('QMP');
    const other = new Lines(tls.connect({ port: short, host: 'localhost', ...secrets }));
    expect(await other.next()).toMatchObject({ QMP: {} });
    const client = new Lines(tls.connect({ path: control, servername: 'localhost', ...secrets }));
    expect(await client.next()).toMatchObject({ QMP: {} });
    expect(await client.ask('qmp_capabilities')).toEqual({ return: {} });
    expect(await client.ask('quit')).toEqual({ return: {} });
    expect(await client.next()).toMatchObject({ event: 'SHUTDOWN' });
  });
});
