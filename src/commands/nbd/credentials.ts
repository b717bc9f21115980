import type { BlockGraph } from '../../core/block/graph/block-graph.ts';
import { NotSupported } from '../../core/errors/block-error.ts';
import type { ServerCredentials } from '../../core/export/index.ts';
import type { NbdOptions } from './command-line.ts';

/** How clients are met under TLS; undefined without `--tls-creds`. */
export function serverCredentials(_graph: BlockGraph, { tlsCreds }: NbdOptions): ServerCredentials | undefined {
  if (tlsCreds === undefined) return undefined;
  throw new NotSupported('TLS (--tls-creds) is not supported by this version');
}
