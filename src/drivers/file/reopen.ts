/** The same file with other modes: opened once more beside the descriptor in use, which is closed when that is final. */
import type { OpenModes, ReopenCapability } from '../../core/block/driver.ts';
import { BlockError, NotSupported } from '../../core/errors/block-error.ts';
import { checkAio, HostFile, type LockingMode } from '../../core/host/index.ts';
import type { Options } from '../../core/options/schema.ts';
import type { HostOptions } from './open.ts';

interface Reopening {
  readonly options: Options;
  readonly modes: OpenModes;
  /** The file as it is open now. */
  readonly file: HostFile;
  readonly locking: LockingMode;
}

type Prepared = Awaited<ReturnType<ReopenCapability['prepare']>>;

/** `use` takes the new descriptor, once it is final. */
export async function prepareReopen(
  { options, modes, file, locking }: Reopening,
  use: (fresh: HostFile) => void,
): Promise<Prepared> {
  const given = options as HostOptions;
  checkAio(given.aio, modes.direct);
  const wanted = modes.forceShare ? 'off' : given.locking;
  if (wanted !== locking) {
    throw new NotSupported(`locking of '${file.path}' cannot change from ${locking} to ${wanted} while it is open`);
  }
  const samePath = given.filename === file.path;
  if (samePath && modes.readOnly === file.readOnly && modes.direct === file.direct) {
    return { commit: () => undefined, abort: () => undefined };
  }
  const fresh = await HostFile.open(given.filename, { readOnly: modes.readOnly, direct: modes.direct });
  if ((await file.usage()).identity !== (await fresh.usage()).identity) {
    await fresh.close();
    if (samePath)
      throw new BlockError(`'${file.path}' is another file now than the one that is open`, { code: 'EBUSY' });
    throw new NotSupported(`option 'filename' cannot change from '${file.path}' to '${given.filename}'`);
  }
  return {
    async commit() {
      use(fresh);
      await file.close();
    },
    abort: () => fresh.close(),
  };
}
