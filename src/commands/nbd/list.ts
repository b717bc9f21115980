/** `nbd --list`: what another server exports, for a person or for a program. */
import { BlockGraph } from '../../core/block/graph/block-graph.ts';
import { systemTrust } from '../../core/crypto/tls-system.ts';
import { Usage } from '../../core/errors/block-error.ts';
import {
  DEFAULT_PORT,
  type ExportDescription,
  ExportFlag,
  listExports,
  parseServerName,
  type ServerAddress,
  type TlsSettings,
  unixAddress,
} from '../../core/nbd/index.ts';
import { driverList } from '../../drivers/index.ts';
import { type Io, userLines } from '../cli/io.ts';
import { addObjects } from '../cli/object-value.ts';
import { printable } from '../cli/output.ts';
import type { NbdLine, NbdOptions } from './command-line.ts';

/** Words for the flags of an export, in the order of their bits; the first says only that there are flags. */
const FLAG_NAMES: readonly (readonly [string, number])[] = [
  ['readonly', ExportFlag.READ_ONLY],
  ['flush', ExportFlag.SEND_FLUSH],
  ['fua', ExportFlag.SEND_FUA],
  ['rotational', ExportFlag.ROTATIONAL],
  ['trim', ExportFlag.SEND_TRIM],
  ['zeroes', ExportFlag.SEND_WRITE_ZEROES],
  ['df', ExportFlag.SEND_DF],
  ['multi', ExportFlag.CAN_MULTI_CONN],
  ['resize', ExportFlag.SEND_RESIZE],
  ['cache', ExportFlag.SEND_CACHE],
  ['fast-zero', ExportFlag.SEND_FAST_ZERO],
  ['block-status-payload', ExportFlag.BLOCK_STATUS_PAYLOAD],
];

interface Target {
  readonly address: ServerAddress;
  readonly tls: boolean;
  readonly hostname: string | undefined;
}

/** List the exports of the server that options, or a URI in the place of the image, name. */
export async function list({ arguments: { file }, options }: NbdLine, io: Io): Promise<number> {
  const target = targetOf(file, options);
  await using graph = new BlockGraph({ drivers: driverList, references: 'none', ...userLines(io) });
  await addObjects(graph, options.objects, io.signal);
  const exports = await listExports({
    address: target.address,
    tls: tlsSettings(graph, options, target),
    signal: io.signal,
  });
  io.stdout.write(
    options.output === 'json' ? `${JSON.stringify(exports.map(asJson), undefined, 4)}\n` : asText(exports),
  );
  return 0;
}

function targetOf(file: string | undefined, { socket, bind, port }: NbdOptions): Target {
  if (file !== undefined) {
    const given = socket ?? bind ?? port;
    if (given !== undefined) throw new Usage('--list takes a URI, or an address by -k, -b and -p, not both');
    const { address, tls, hostname } = parseServerName(file);
    return { address, tls, hostname };
  }
  if (socket !== undefined) return { address: unixAddress(socket), tls: false, hostname: undefined };
  const host = bind ?? '0.0.0.0';
  const inet = {
    type: 'inet',
    host,
    port: port ?? DEFAULT_PORT,
    family: undefined,
    keepAlive: true,
  } as const;
  return { address: inet, tls: false, hostname: undefined };
}

function tlsSettings(graph: BlockGraph, options: NbdOptions, target: Target): TlsSettings | undefined {
  const { tlsCreds, tlsHostname } = options;
  const { address } = target;
  const hostname = tlsHostname ?? target.hostname ?? (address.type === 'inet' ? address.host : undefined);
  if (tlsCreds === undefined) return target.tls ? { client: systemTrust(), hostname } : undefined;
  const { client } = graph.objects.find('tls-creds', tlsCreds);
  if (!client)
    throw new Usage(`credentials '${tlsCreds}' are for a server`, { hint: 'Define them with endpoint=client' });
  return { client, hostname };
}

function asText(exports: readonly ExportDescription[]): string {
  return [`exports available: ${exports.length}`, ...exports.flatMap(exportLines)].map((line) => `${line}\n`).join('');
}

function exportLines({ name, description, size, flags, blockSizes, mode, contexts }: ExportDescription): string[] {
  const lines = [` export: '${printable(name)}'`];
  if (description !== undefined) lines.push(`  description: ${printable(description)}`);
  if (size === undefined || flags === undefined) return lines;
  lines.push(`  size:  ${size}`);
  const names = FLAG_NAMES.filter(([, flag]) => (flags & flag) !== 0).map(([flagName]) => ` ${flagName}`);
  lines.push(`  flags: 0x${flags.toString(16)} (${names.join('')} )`);
  if (blockSizes) {
    lines.push(
      `  min block: ${blockSizes.minimum}`,
      `  opt block: ${blockSizes.preferred}`,
      `  max block: ${blockSizes.maximum}`,
    );
  }
  lines.push(`  transaction size: ${mode === 'extended' ? '64-bit' : '32-bit'}`);
  if (contexts.length > 0)
    lines.push(`  available meta contexts: ${contexts.length}`, ...contexts.map((each) => `   ${printable(each)}`));
  return lines;
}

function asJson(description: ExportDescription): Readonly<Record<string, unknown>> {
  const { name, description: text, size, flags, blockSizes, mode, contexts } = description;
  return {
    name,
    ...(text === undefined ? {} : { description: text }),
    ...(size === undefined ? {} : { size }),
    ...(flags === undefined
      ? {}
      : { flags: FLAG_NAMES.filter(([, flag]) => (flags & flag) !== 0).map(([flagName]) => flagName) }),
    ...(blockSizes
      ? {
          'min-block': blockSizes.minimum,
          'opt-block': blockSizes.preferred,
          'max-block': blockSizes.maximum,
        }
      : {}),
    ...(size === undefined ? {} : { 'transaction-size': mode === 'extended' ? 64 : 32, 'meta-contexts': contexts }),
  };
}
