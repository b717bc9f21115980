/** Nodes in the words of the control socket. */

import { describeBitmaps } from '../block/bitmaps/describe.ts';
import { displayName } from '../block/graph/file-name.ts';
import { linkDown } from '../block/graph/freeze.ts';
import { describeImage } from '../block/graph/image-info.ts';
import type { Node } from '../block/graph/node.ts';
import { anything, bool, bytes, choice, group, integer, list, text } from '../options/fields.ts';
import { named } from './shape.ts';

const required = { required: true } as const;
const size = (help: string) => bytes({ help, ...required });
const yes = (help: string) => bool({ help, ...required });

/** One of the members of BlockDeviceInfo that were for limits of devices; nodes have none, a throttle filter has. */
const limit = () => integer({ help: 'Always 0: limits are those of a throttle node', ...required });

export const deviceInfoFields = {
  file: text({ help: 'Name of the file', ...required }),
  'node-name': text({ help: 'Name of the node', ...required }),
  ro: yes('Cannot be written to'),
  drv: text({ help: 'Driver', ...required }),
  backing_file: text({ help: 'Name of the backing file' }),
  backing_file_depth: integer({ help: 'Backing files below it', ...required }),
  active: yes('Always true: an image is used by this program while it is open'),
  encrypted: yes('Its data is encrypted'),
  detect_zeroes: choice(['off', 'on', 'unmap'], {
    help: 'Whether zeroes that are written are looked for',
    ...required,
  }),
  bps: limit(),
  bps_rd: limit(),
  bps_wr: limit(),
  iops: limit(),
  iops_rd: limit(),
  iops_wr: limit(),
  image: named(
    'ImageInfo',
    anything({ help: 'As img info --output=json shows it; with backing-image unless flat', ...required }),
  ),
  cache: group(
    {
      writeback: yes('Writes are not stable at once'),
      direct: yes('Bypasses the page cache'),
      'no-flush': yes('Ignores flushes'),
    },
    { help: 'How it uses caches', ...required },
  ),
  write_threshold: size('Offset of block-set-write-threshold, 0 for none'),
  'dirty-bitmaps': list(
    group(
      {
        name: text({ help: 'Its name', ...required }),
        count: size('Bytes that are dirty'),
        granularity: size('Unit that is recorded'),
        recording: yes('Changes are recorded'),
        busy: yes('A job or an export uses it'),
        persistent: yes('It is kept in the image'),
        inconsistent: bool({ help: 'The image was not closed properly' }),
      },
      { help: 'A bitmap', ...required },
    ),
    { help: 'Dirty bitmaps' },
  ),
};

export const deviceInfo = group(deviceInfoFields, { help: 'A node', ...required });

/** What `query-named-block-nodes` says of a node. */
export async function describeNode(node: Node, flat: boolean) {
  const chain = backingChain(node);
  const image = await describeImage(node);
  return {
    file: displayName(node),
    'node-name': node.name,
    ro: node.modes.readOnly,
    drv: node.driver.name,
    ...(chain[0] ? { backing_file: displayName(chain[0]) } : {}),
    backing_file_depth: chain.length,
    active: true,
    encrypted: image.encrypted ?? false,
    detect_zeroes: node.detectZeroes,
    bps: 0,
    bps_rd: 0,
    bps_wr: 0,
    iops: 0,
    iops_rd: 0,
    iops_wr: 0,
    image: flat ? image : await withBacking(image, chain),
    cache: {
      writeback: ![...node.parents].some(({ parent }) => parent.writethrough === true),
      direct: node.modes.direct,
      'no-flush': node.modes.noFlush,
    },
    write_threshold: node.accounts.threshold ?? 0,
    ...(node.io.bitmaps.count > 0 ? { 'dirty-bitmaps': describeBitmaps(node.io.bitmaps) } : {}),
  };
}

/** The images below, nearest first, filters left out. */
function backingChain(node: Node): Node[] {
  const chain: Node[] = [];
  for (let edge = linkDown(node); edge; edge = linkDown(edge.node)) if (edge.role === 'cow') chain.push(edge.node);
  return chain;
}

async function withBacking(image: object, chain: readonly Node[]): Promise<object> {
  // From the far end, since each holds the one below it.
  let below: object | undefined;
  for (const node of [...chain].reverse()) {
    const own = await describeImage(node);
    below = below ? { ...own, 'backing-image': below } : own;
  }
  return below ? { ...image, 'backing-image': below } : image;
}
