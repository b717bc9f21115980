/** Where control clients come in, as the command line says it. */
import { Usage } from '../../core/errors/block-error.ts';
import type { InetListenAddress, ListenAddress } from '../../core/export/index.ts';
import { type BlockService, Session, type SessionOptions } from '../../core/qmp/index.ts';
import type { Io } from '../cli/io.ts';

/** `unix:PATH`, `tcp:HOST:PORT` or `stdio`. */
export function parseQmpAddress(text: string, option: string): ListenAddress | 'stdio' {
  if (text === 'stdio') return 'stdio';
  if (text.startsWith('unix:') && text.length > 5) return { type: 'unix', path: text.slice(5) };
  const tcp = /^tcp:(\[[^\]]+\]|[^:]*):(\d{1,5})$/.exec(text);
  if (tcp) return inetAddress(tcp[1] ?? '', Number(tcp[2]), option);
  throw new Usage(`${option} expects unix:PATH, tcp:HOST:PORT or stdio, not '${text}'`);
}

export function inetAddress(host: string, port: number, option: string): InetListenAddress {
  if (port > 65_535) throw new Usage(`${option}: port ${port} is not between 0 and 65535`);
  // Whoever can connect can do all that this program may: nobody but this machine, unless it is said.
  return { type: 'inet', host: host.replace(/^\[|\]$/g, '') || 'localhost', port };
}

/** One client, on standard input and output. Returns how to end that. */
export function serveStdio(service: BlockService, io: Io, options: SessionOptions): () => void {
  const { stdin } = process;
  const session = new Session(
    service,
    {
      write: (text) => io.stdout.write(text),
      unread: 0,
      pause: () => void stdin.pause(),
      resume: () => void stdin.resume(),
      end: () => {
        stdin.pause();
        stdin.unref?.();
      },
    },
    options,
  );
  stdin.on('data', (chunk: Buffer) => session.receive(chunk));
  stdin.on('end', () => session.finish());
  return () => session.end();
}
