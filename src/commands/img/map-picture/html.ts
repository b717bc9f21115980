/** The picture of a disk as a page: the SVG, a table, and what lies under the pointer. It needs no other file. */
import { formatSize } from '../../../core/bytes/sizes.ts';
import { escaped } from '../../cli/svg.ts';
import { COLUMNS, type MapSummary } from './summary.ts';
import { hueNameOf, hueOf, type Picture, renderSvg, shareName } from './svg.ts';

const STYLE = `
body { margin: 0 auto; max-width: 1160px; padding: 1rem; background: #fff; color: #1f2937;
  font: 14px/1.5 system-ui, sans-serif; }
svg { max-width: 100%; height: auto; display: block; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .75rem; text-align: left; border-bottom: 1px solid #e5e7eb; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.swatch { display: inline-block; width: 1em; height: 1em; vertical-align: -.15em; margin-right: .4em; }
#tip { position: fixed; display: none; padding: .4rem .6rem; background: #111827; color: #fff; border-radius: 4px;
  pointer-events: none; white-space: pre; font-size: 12px; }`;

/** Shows what a cell holds. It reads numbers from the page only. */
const SCRIPT = `
const svg = document.querySelector('svg'), tip = document.getElementById('tip');
const data = JSON.parse(document.getElementById('cells').textContent);
const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
const size = (n) => { let u = 0; while (n >= 1024 && u < 6) { n /= 1024; u++; } return +n.toPrecision(4) + ' ' + units[u]; };
svg.addEventListener('mousemove', (event) => {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const cell = Number(svg.dataset.cell);
  const x = Math.floor((at.x - svg.dataset.left) / cell), y = Math.floor((at.y - svg.dataset.top) / cell);
  const index = y * data.columns + x;
  if (x < 0 || x >= data.columns || y < 0 || index >= data.count) { tip.style.display = 'none'; return; }
  const start = index * data.cell, length = Math.min(data.cell, data.size - start);
  const lines = ['at ' + size(start) + ' (0x' + start.toString(16) + '), ' + size(length)];
  for (const [share, bytes] of data.cells[index] ?? []) {
    lines.push(data.shares[share] + ': ' + (100 * bytes / length).toFixed(bytes < length ? 1 : 0) + ' %');
  }
  if (lines.length === 1) lines.push('in no layer');
  tip.textContent = lines.join('\\n');
  tip.style.display = 'block';
  tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px';
  tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + 'px';
});
svg.addEventListener('mouseleave', () => { tip.style.display = 'none'; });`;

export function renderHtml(picture: Picture): string {
  const { title, summary, layers } = picture;
  return [
    '<!doctype html>',
    '<html lang="en">',
    `<head><meta charset="utf-8"><title>${escaped(title)}</title>`,
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">`,
    `<style>${STYLE}\n</style></head>`,
    '<body>',
    renderSvg(picture).trimEnd(),
    sharesTable(summary, layers),
    '<div id="tip" role="tooltip"></div>',
    `<script type="application/json" id="cells">${cellData(summary, layers.length)}</script>`,
    `<script>${SCRIPT}\n</script>`,
    '</body></html>',
    '',
  ].join('\n');
}

function sharesTable(summary: MapSummary, layers: readonly string[]): string {
  const rows = layers.map((name, depth) => {
    const own = (kind: string): number =>
      summary.shares.find((share) => share.depth === depth && share.kind === kind)?.bytes ?? 0;
    const cells = ['data', 'compressed', 'zero'].map((kind) => `<td class="number">${formatSize(own(kind))}</td>`);
    const swatch = `<span class="swatch" style="background:${hueOf(depth)}" title="${hueNameOf(depth)}"></span>`;
    return `<tr><td>${swatch}${depth}</td><td>${escaped(name)}</td>${cells.join('')}</tr>`;
  });
  const head = '<tr><th>Layer</th><th>Image</th><th>Data</th><th>Compressed</th><th>Zeroes</th></tr>';
  return `<table>${head}${rows.join('')}</table>`;
}

/** Shares of the cells that have any; nothing but numbers and our own words, so that it cannot end the element. */
function cellData(summary: MapSummary, layers: number): string {
  const { shares, cellCount, cellSize, size } = summary;
  const cells: Record<number, [number, number][]> = {};
  for (const [index, share] of shares.entries()) {
    for (let cell = 0; cell < cellCount; cell++) {
      const bytes = share.cells[cell] ?? 0;
      if (bytes === 0) continue;
      const list = cells[cell] ?? [];
      list.push([index, bytes]);
      cells[cell] = list;
    }
  }
  const names = shares.map((share) => shareName(share, layers));
  return JSON.stringify({ columns: COLUMNS, count: cellCount, cell: cellSize, size, shares: names, cells });
}
