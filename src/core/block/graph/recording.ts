/** The option `trace` of every node: requests to it are recorded in a file, which is for users to name and not for images. */
import { BlockError } from '../../errors/block-error.ts';
import type { Driver } from '../driver.ts';
import type { BlockGraph } from './block-graph.ts';
import type { CommonOptions } from './common-options.ts';
import type { Node } from './node.ts';

/** Throws where `image` asks, by the name of another file in its header, for a node that would write a trace. */
export function assertNoTrace(own: CommonOptions, driver: Driver, image: string): void {
  if (own.trace === undefined && !driver.writesFiles) return;
  throw new BlockError(`'${image}' asks for a trace, which only a user may do`, { code: 'EPERM' });
}

/** Have the requests to `node` recorded from now on where its options say so. Throws when the file cannot be made. */
export async function recordRequests(node: Node, graph: BlockGraph): Promise<void> {
  const { name, fileName, image, modes, own } = node;
  if (own.trace === undefined || modes.noIo) return;
  const { RecordedRequests } = await import('../recorded.ts');
  const { warn } = graph.settings;
  const about = { name, size: image.size, fileName };
  node.record(await RecordedRequests.to(node.io, { file: own.trace, node: about, warn }));
}
