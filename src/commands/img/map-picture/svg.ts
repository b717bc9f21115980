/** The picture of a disk as SVG: a grid of cells from its first byte to its last, and where its data lies in the file. */
import { formatSize } from '../../../core/bytes/sizes.ts';
import { escaped, svgText } from '../../cli/svg.ts';
import { COLUMNS, type Kind, type MapSummary, PLACES_X, PLACES_Y, type Share } from './summary.ts';

const WIDTH = 1120;
const LEFT = 96;
const CELL = 8;
const GRID = COLUMNS * CELL;
const TOP = 96;
const PLACES_HEIGHT = 224;
const ROWS_PER_LABEL = 8;
const LEGEND_STEP = 250;

/** By depth, the topmost layer first; deeper ones share the last. */
const HUES = ['#1d6fb8', '#d9730d', '#2e8b57', '#8e5bb5', '#b8456b', '#6b7280'] as const;
const HUE_NAMES = ['blue', 'orange', 'green', 'violet', 'red', 'grey'] as const;

/** A picture and what it is of. */
export interface Picture {
  readonly title: string;
  readonly subtitle: string;
  /** Names of the layers, topmost first. */
  readonly layers: readonly string[];
  readonly summary: MapSummary;
}

export function hueOf(depth: number): string {
  return HUES[Math.min(depth, HUES.length - 1)] ?? HUES[0];
}

export function hueNameOf(depth: number): string {
  return HUE_NAMES[Math.min(depth, HUE_NAMES.length - 1)] ?? HUE_NAMES[0];
}

/** How a share is called where all are listed. */
export function shareName({ kind, depth }: Share, layers: number): string {
  const words: Readonly<Record<Kind, string>> = { data: 'data', compressed: 'compressed', zero: 'zeroes' };
  return layers > 1 ? `${words[kind]}, layer ${depth}` : words[kind];
}

/** The fill of a kind: compressed is hatched, zeroes are outlined. */
export function fillOf({ kind, depth }: Pick<Share, 'kind' | 'depth'>): string {
  const hue = Math.min(depth, HUES.length - 1);
  return kind === 'data' ? hueOf(depth) : `url(#${kind}${hue})`;
}

export function renderSvg(picture: Picture): string {
  const { title, subtitle, summary } = picture;
  const legend = legendOf(picture, TOP - 32);
  const gridTop = TOP + legend.height;
  const rows = Math.max(1, Math.ceil(summary.cellCount / COLUMNS));
  const placesTop = gridTop + rows * CELL + 64;
  const hasPlaces = summary.extents > 0;
  const height = hasPlaces ? placesTop + PLACES_HEIGHT + 40 : placesTop;
  const parts = [
    `<title>${escaped(title)}</title>`,
    patterns(),
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    svgText(24, 30, escaped(title), 'font-size="18" font-weight="600"'),
    svgText(24, 50, escaped(subtitle), 'fill="#4b5563"'),
    ...legend.parts,
    ...gridParts(summary, gridTop, rows),
    ...(hasPlaces ? placesParts(summary, placesTop) : []),
  ];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" ` +
    `font-family="system-ui, sans-serif" font-size="12" fill="#1f2937" data-left="${LEFT}" data-top="${gridTop}" ` +
    `data-cell="${CELL}">\n${parts.join('\n')}\n</svg>\n`
  );
}

function patterns(): string {
  const one = (colour: string, index: number): string =>
    `<pattern id="compressed${index}" width="4" height="4" patternUnits="userSpaceOnUse">` +
    `<rect width="4" height="4" fill="${colour}" fill-opacity="0.25"/>` +
    `<path d="M0 4L4 0M-1 1L1 -1M3 5L5 3" stroke="${colour}" stroke-width="1.4"/></pattern>` +
    `<pattern id="zero${index}" width="4" height="4" patternUnits="userSpaceOnUse">` +
    `<circle cx="2" cy="2" r="0.9" fill="${colour}"/></pattern>`;
  return `<defs>${HUES.map(one).join('')}</defs>`;
}

function legendOf({ summary, layers }: Picture, top: number): { readonly parts: string[]; readonly height: number } {
  const entries = summary.shares.map((share) => ({
    fill: fillOf(share),
    words: `${shareName(share, layers.length)}: ${formatSize(share.bytes)}`,
  }));
  const rest = Math.max(0, summary.size - summary.allocated);
  entries.push({ fill: '#f3f4f6', words: `in no layer: ${formatSize(rest)}` });
  const perRow = Math.floor((WIDTH - LEFT) / LEGEND_STEP);
  const parts = entries.flatMap(({ fill, words }, index) => {
    const x = LEFT + (index % perRow) * LEGEND_STEP;
    const y = top + Math.floor(index / perRow) * 20;
    return [
      `<rect x="${x}" y="${y}" width="14" height="12" fill="${fill}" stroke="#9ca3af" stroke-width="0.5"/>`,
      svgText(x + 20, y + 10, escaped(words)),
    ];
  });
  return { parts, height: (Math.ceil(entries.length / perRow) - 1) * 20 };
}

/** Cells of the same look are one path. A cell shows its largest share, the paler the less of it there is. */
function gridParts(summary: MapSummary, top: number, rows: number): string[] {
  const paths = new Map<string, string[]>();
  const { shares, cellSize, cellCount, size } = summary;
  for (let cell = 0; cell < cellCount; cell++) {
    const length = Math.min(cellSize, size - cell * cellSize);
    const [largest, filled] = lookOf(shares, cell);
    if (!largest) continue;
    const opacity = filled >= length ? '1' : (0.3 + Math.round((filled / length) * 4) * 0.15).toFixed(2);
    const x = LEFT + (cell % COLUMNS) * CELL;
    const y = top + Math.floor(cell / COLUMNS) * CELL;
    const key = `fill="${fillOf(largest)}" fill-opacity="${opacity}"`;
    const path = paths.get(key) ?? [];
    path.push(`M${x} ${y}h${CELL - 1}v${CELL - 1}h-${CELL - 1}z`);
    paths.set(key, path);
  }
  return [
    gridFrame(top, cellCount),
    ...[...paths].map(([look, path]) => `<path ${look} d="${path.join('')}"/>`),
    ...rowLabels(summary, top, rows),
    svgText(LEFT, top + rows * CELL + 18, `a cell is ${formatSize(cellSize)}, a row ${formatSize(cellSize * COLUMNS)}`),
  ];
}

function lookOf(shares: readonly Share[], cell: number): readonly [largest: Share | undefined, filled: number] {
  let largest: Share | undefined;
  let filled = 0;
  for (const share of shares) {
    const bytes = share.cells[cell] ?? 0;
    filled += bytes;
    if (bytes > (largest?.cells[cell] ?? 0)) largest = share;
  }
  return [largest, filled];
}

/** The ground of the cells there are: whole rows, and what there is of the last. */
function gridFrame(top: number, cellCount: number): string {
  const whole = Math.floor(cellCount / COLUMNS);
  const rest = cellCount % COLUMNS;
  const full =
    whole > 0 ? `<rect x="${LEFT}" y="${top}" width="${GRID}" height="${whole * CELL}" fill="#f3f4f6"/>` : '';
  if (rest === 0) return full;
  return `${full}<rect x="${LEFT}" y="${top + whole * CELL}" width="${rest * CELL}" height="${CELL}" fill="#f3f4f6"/>`;
}

function rowLabels({ cellSize }: MapSummary, top: number, rows: number): string[] {
  const labels: string[] = [];
  for (let row = 0; row < rows; row += ROWS_PER_LABEL) {
    const words = formatSize(row * COLUMNS * cellSize);
    labels.push(svgText(LEFT - 8, top + row * CELL + CELL, words, 'text-anchor="end" fill="#4b5563"'));
  }
  return labels;
}

/** Offsets of the disk from left to right, those of the file downwards: one straight line for a file in order. */
function placesParts(summary: MapSummary, top: number): string[] {
  const { size, fileEnd, extents, breaks } = summary;
  const width = GRID / PLACES_X;
  const height = PLACES_HEIGHT / PLACES_Y;
  const parts = [
    svgText(LEFT, top - 12, 'Where data lies in its file', 'font-size="13" font-weight="600"'),
    svgText(
      LEFT + GRID,
      top - 12,
      `${extents} extents, ${breaks} of them not behind the one before`,
      'text-anchor="end" fill="#4b5563"',
    ),
    `<rect x="${LEFT}" y="${top}" width="${GRID}" height="${PLACES_HEIGHT}" fill="#f9fafb" stroke="#d1d5db"/>`,
    svgText(LEFT - 8, top + 10, '0', 'text-anchor="end" fill="#4b5563"'),
    svgText(LEFT - 8, top + PLACES_HEIGHT, formatSize(fileEnd), 'text-anchor="end" fill="#4b5563"'),
    svgText(LEFT, top + PLACES_HEIGHT + 18, 'start of the disk', 'fill="#4b5563"'),
    svgText(LEFT + GRID, top + PLACES_HEIGHT + 18, formatSize(size), 'text-anchor="end" fill="#4b5563"'),
  ];
  for (const [depth, fields] of summary.places()) {
    const path = [...fields].map((field) => {
      const x = LEFT + (field % PLACES_X) * width;
      const y = top + Math.floor(field / PLACES_X) * height;
      return `M${x.toFixed(1)} ${y.toFixed(1)}h${width.toFixed(1)}v${height.toFixed(1)}h-${width.toFixed(1)}z`;
    });
    parts.push(`<path fill="${hueOf(depth)}" d="${path.join('')}"/>`);
  }
  return parts;
}
