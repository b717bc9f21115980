/**
 * `nbd`: an export of an NBD server as a disk.
 *
 * Here belong names, options, the pool of connections with its ways of coming back, and the mapping of operations to
 * requests. The protocol itself, both sides of it, is core/nbd; TLS is core/crypto.
 */
import type { CreateContext, Driver, Image, OpenContext } from '../../core/block/driver.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { Context, ExportFlag, parseExportName } from '../../core/nbd/index.ts';
import { bytes, defineOptions, type OptionsOf } from '../../core/options/fields.ts';
import { validate } from '../../core/options/parse.ts';
import { NbdImage } from './image.ts';
import { addressOf, type NbdOptions, options, uriOf } from './options.ts';
import { Session } from './session.ts';
import { tlsSettings } from './tls.ts';

const createOptions = defineOptions({
  size: bytes({ help: 'Bytes that the export must have at least', default: 0 }),
});

type CreateOptions = OptionsOf<typeof createOptions>;

type Surroundings = Pick<OpenContext, 'object' | 'signal'> | undefined;

const MS = 1000;

async function openSession(values: NbdOptions, surroundings: Surroundings): Promise<Session> {
  const address = addressOf(values);
  const settings = {
    address,
    exportName: values.export,
    context: values['x-dirty-bitmap'],
    tls: await tlsSettings(values, address, surroundings),
    reconnectDelay: values['reconnect-delay'] * MS,
    openTimeout: values['open-timeout'] * MS,
    connections: values.connections,
  };
  return Session.open(settings, surroundings?.signal);
}

async function open(context: OpenContext<NbdOptions>): Promise<Image> {
  const { options: values, modes, closer, fileName } = context;
  const session = await openSession(values, context);
  closer.push(() => session.close());
  if (!modes.readOnly && (session.negotiated.flags & ExportFlag.READ_ONLY) !== 0) {
    throw new BlockError(`'${fileName}' is a read-only export`, { code: 'EACCES' });
  }
  const depths = values['x-dirty-bitmap'] === Context.ALLOCATION_DEPTH;
  return new NbdImage({ session, name: values.export, depths });
}

/** An export cannot be made, but one that is there and large enough can be emptied of what a format would be seen by. */
async function create(context: CreateContext): Promise<void> {
  const { size } = context.options as CreateOptions;
  const values = validate(options, parseExportName(context.fileName), 'driver nbd');
  const session = await openSession(values, undefined);
  const image = new NbdImage({ session, name: values.export, depths: false });
  try {
    if (!image.write) throw new BlockError(`'${context.fileName}' is a read-only export`, { code: 'EACCES' });
    if (image.size < size) {
      throw new BlockError(`'${context.fileName}' has ${image.size} bytes, too few for ${size}`, { code: 'ENOSPC' });
    }
    const first = Math.min(image.size, Math.max(SECTOR, image.limits.requestAlignment ?? 1));
    if (first > 0) await image.write(0, Buffer.alloc(first), 0);
    await image.flush?.();
  } finally {
    await image.close();
  }
}

const SECTOR = 512;

export const nbdDriver: Driver<NbdOptions> = {
  name: 'nbd',
  kind: 'protocol',
  options,
  schemes: ['nbd', 'nbds', 'nbd+unix', 'nbds+unix', 'nbd+tcp', 'nbds+tcp'],
  parseFileName: parseExportName,
  nameFor: uriOf,
  strongOptions: ['server', 'export', 'tls-creds', 'tls-hostname', 'x-dirty-bitmap', 'host', 'port', 'path', 'tls'],
  open,
  create: { options: createOptions, run: create },
};
