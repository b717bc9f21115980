/** From the map of an image to its picture. */
import { displayName } from '../../../core/block/graph/file-name.ts';
import { layersOf, type MapRange } from '../../../core/block/graph/layer-map.ts';
import type { Node } from '../../../core/block/graph/node.ts';
import { formatSize } from '../../../core/bytes/sizes.ts';
import { renderHtml } from './html.ts';
import { MapSummary } from './summary.ts';
import { type Picture, renderSvg } from './svg.ts';

/** Gather `ranges` of `image`; the results are made when they are asked for. */
export async function drawMap(
  ranges: AsyncIterable<MapRange>,
  image: Node,
  signal: AbortSignal,
): Promise<{ html(): string; svg(): string }> {
  const summary = new MapSummary(image.io.size);
  for await (const range of ranges) {
    signal.throwIfAborted();
    summary.add(range);
  }
  const layers = layersOf(image);
  const format = layers[0]?.driver.name ?? image.driver.name;
  const depth = layers.length > 1 ? `, on ${layers.length - 1} backing file${layers.length > 2 ? 's' : ''}` : '';
  const picture: Picture = {
    title: displayName(layers[0] ?? image),
    subtitle: `${format}, ${formatSize(summary.size)}, of which ${formatSize(summary.allocated)} are allocated${depth}`,
    layers: layers.map((layer) => displayName(layer)),
    summary,
  };
  return { html: () => renderHtml(picture), svg: () => renderSvg(picture) };
}
