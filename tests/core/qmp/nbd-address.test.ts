/** Internet addresses of servers, as `nbd-server-start` takes them. */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import { type InetListenAddress, Listener } from '../../../src/core/export/index.ts';
import { inetListenAddress } from '../../../src/core/qmp/index.ts';
import { scene } from './client.ts';

const plain = { numeric: false, 'keep-alive': true, mptcp: false };
const hasIpv6 = Object.values(os.networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'));

/** A port of 127.0.0.1 on which somebody listens. */
async function occupied(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => void server.close());
  return (server.address() as net.AddressInfo).port;
}

async function listen(address: InetListenAddress, arrived?: (socket: net.Socket) => void): Promise<number> {
  const sockets: net.Socket[] = [];
  const listener = await Listener.open({
    address,
    connected: (socket) => {
      sockets.push(socket);
      arrived?.(socket);
    },
  });
  onTestFinished(() => {
    listener.close();
    for (const socket of sockets) socket.destroy();
  });
  const { address: taken } = listener;
  return taken.type === 'inet' ? taken.port : 0;
}

function connect(host: string, port: number): Promise<net.Socket> {
  const socket = net.connect({ host, port });
  onTestFinished(() => void socket.destroy());
  return new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(socket)).once('error', reject);
  });
}

test('the next port is taken where one is in use, up to `to`', async () => {
  const port = await occupied();
  const taken = await listen({ type: 'inet', host: '127.0.0.1', port, to: Math.min(port + 50, 65_535) });
  expect(taken).toBeGreaterThan(port);
  await connect('127.0.0.1', taken);
  await expect(listen({ type: 'inet', host: '127.0.0.1', port })).rejects.toThrow(
    `cannot listen on 127.0.0.1:${port}: the address is in use`,
  );
  const only = { type: 'inet', host: '127.0.0.1', port, to: port } as const;
  await expect(listen(only)).rejects.toThrow(`cannot listen on 127.0.0.1:${port}: the address is in use`);
});

test('a version of IP is kept to', async () => {
  const port = await listen(inetListenAddress('localhost', 0, { ...plain, ipv4: true }));
  await connect('127.0.0.1', port);
  await expect(connect('::1', port)).rejects.toThrow();
  const everywhere = await listen(inetListenAddress('', 0, { ...plain, ipv6: false }));
  await connect('127.0.0.1', everywhere);
  await expect(connect('::1', everywhere)).rejects.toThrow();
});

test.skipIf(!hasIpv6)('IPv6 alone leaves IPv4 out, also at every address', async () => {
  const port = await listen(inetListenAddress('', 0, { ...plain, ipv6: true }));
  await connect('::1', port);
  await expect(connect('127.0.0.1', port)).rejects.toThrow();
});

test.each([true, false])('connections are watched by the system with keep-alive: %s', async (keepAlive) => {
  const arrived = new Promise<net.Socket>((resolve) => {
    void listen(inetListenAddress('127.0.0.1', 0, { ...plain, 'keep-alive': keepAlive }), resolve).then((port) =>
      connect('127.0.0.1', port),
    );
  });
  const { localPort = 0, remotePort = 0 } = await arrived;
  const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0');
  const line = new RegExp(`:${hex(localPort)} \\w+:${hex(remotePort)} 01 \\S+ (\\d\\d):`);
  // 02: a timer that is none of sending.
  expect(line.exec(fs.readFileSync('/proc/net/tcp', 'utf8'))?.[1]).toBe(keepAlive ? '02' : '00');
});

test('nbd-server-start takes what it can do, and says in a line what it cannot', async () => {
  await using made = await scene();
  const { client } = made;
  const port = await occupied();
  const at = (data: object) => ({ addr: { type: 'inet', data: { host: '127.0.0.1', port: String(port), ...data } } });
  const refusal = (data: object) => client.refusal('nbd-server-start', at(data));
  expect(await refusal({ mptcp: true })).toMatch(/^mptcp=on is not supported$/);
  expect(await refusal({ ipv4: false, ipv6: false })).toMatch(/^ipv4=off and ipv6=off leave no way$/);
  expect(await refusal({ ipv6: true })).toMatch(/^'127.0.0.1' is no address of IPv6, which alone is asked for$/);
  expect(await refusal({ host: 'localhost', numeric: true })).toMatch(/^'localhost' is no address, and numeric=on/);
  expect(await refusal({ to: port - 1 })).toBe(`'to' is ${port - 1}, less than the port ${port}`);
  expect(await refusal({ to: 65_536 })).toMatch(/addr.data.to.* between 0 and 65535/);
  expect(await refusal({})).toMatch(/the address is in use/);
  const wanted = { to: Math.min(port + 50, 65_535), ipv4: true, 'keep-alive': false, numeric: true, mptcp: false };
  await client.run('nbd-server-start', at(wanted));
  await client.run('nbd-server-stop');
});
