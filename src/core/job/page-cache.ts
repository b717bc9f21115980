/** Page-cache manners of a job: what it reads leaves no trace in the page cache of the host. */
import type { PageCachePass } from '../block/driver.ts';
import { subtree } from '../block/graph/drain.ts';
import type { Node } from '../block/graph/node.ts';

/** Begin a pass on every file below `nodes`; `end` ends them all. */
export async function beginPasses(nodes: readonly Node[]): Promise<PageCachePass> {
  const files = new Set(nodes.flatMap((node) => [...subtree(node)]));
  const passes: PageCachePass[] = [];
  for (const { image } of files) {
    const pass = await image.pageCache?.begin();
    if (pass) passes.push(pass);
  }
  return {
    async end() {
      for (const pass of passes) await pass.end();
    },
  };
}
