/** The picture of a replay: a self-contained SVG with latencies by percentile, and offsets over time. */
import { formatSize } from '../../core/bytes/sizes.ts';
import type { Histogram } from '../../core/trace/histogram.ts';
import type { Sample } from '../../core/trace/measured.ts';
import type { TraceOp } from '../../core/trace/record.ts';
import { writeText } from '../cli/output.ts';
import { escaped, svgText as text } from '../cli/svg.ts';
import { durationText, type ReplayReport } from './replay-report.ts';

const WIDTH = 960;
const LEFT = 84;
const RIGHT = 40;
const PANEL = 280;
const TOP = 64;
const GAP = 92;
const HEIGHT = TOP + 2 * PANEL + GAP + 64;
const INNER = WIDTH - LEFT - RIGHT;

const COLOURS = { recorded: '#6b7280', replayed: '#0f62ae' } as const;
const OP_COLOURS: Readonly<Partial<Record<TraceOp, string>>> = {
  read: '#0f62ae',
  write: '#c2410c',
  zero: '#15803d',
  discard: '#7e22ce',
};

/** @throws BlockError that names the file. */
export function writePlot(path: string, report: ReplayReport): void {
  writeText(path, plot(report));
}

export function plot(report: ReplayReport): string {
  const { measured, source } = report;
  const { recorded, replayed } = measured.total;
  const title = `Replay of ${escaped(source.path)}: ${replayed.count} requests, ${formatSize(replayed.bytes)}`;
  const parts = [
    text(LEFT, 28, title, 'font-size="16" font-weight="600"'),
    ...latencyPanel(recorded.latency, replayed.latency, TOP),
    ...offsetPanel(measured.samples, TOP + PANEL + GAP),
  ];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" ` +
    `font-family="system-ui, sans-serif" font-size="12" fill="#1f2937">\n` +
    `<title>${title}</title>\n<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>\n${parts.join('\n')}\n</svg>\n`
  );
}

/** Percentiles that are marked; further right everything is rarer by a tenth each. */
const MARKS = [0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999];
/** Powers of ten of rareness across the panel. */
const NINES = 5;
const POINTS = 240;

function latencyPanel(recorded: Histogram, replayed: Histogram, top: number): string[] {
  const curves = [
    ['recorded', recorded],
    ['replayed', replayed],
  ] as const;
  const known = curves.filter(([, histogram]) => histogram.count > 0);
  const low = Math.min(...known.map(([, histogram]) => Math.max(1, histogram.quantile(0))));
  const high = Math.max(...known.map(([, histogram]) => Math.max(1, histogram.max)));
  const from = 10 ** Math.floor(Math.log10(known.length > 0 ? low : 1));
  const to = Math.max(10 * from, 10 ** Math.ceil(Math.log10(known.length > 0 ? high : 10)));
  const y = (ns: number): number => top + PANEL * (1 - Math.log10(Math.max(from, ns) / from) / Math.log10(to / from));
  const x = (part: number): number => LEFT + (INNER * Math.min(NINES, -Math.log10(1 - part))) / NINES;
  const parts = [heading(top, 'Latency by percentile'), frame(top)];
  for (let ns = from; ns <= to * 1.001; ns *= 10) parts.push(gridY(y(ns), durationText(Math.round(ns))));
  for (const mark of MARKS) parts.push(gridX(x(mark), top, mark === 0 ? '0' : `p${+(mark * 100).toFixed(3)}`));
  for (const [name, histogram] of known) {
    const points = Array.from({ length: POINTS + 1 }, (_, index) => {
      const part = 1 - 10 ** (-(NINES * index) / POINTS);
      return `${x(part).toFixed(1)},${y(histogram.quantile(part)).toFixed(1)}`;
    });
    parts.push(`<polyline fill="none" stroke="${COLOURS[name]}" stroke-width="2" points="${points.join(' ')}"/>`);
  }
  return [
    ...parts,
    ...legend(
      known.map(([name]) => [name, COLOURS[name]]),
      top,
    ),
  ];
}

const SMALLEST_MARK = 2;

function offsetPanel(samples: readonly Sample[], top: number): string[] {
  const last = Math.max(1, ...samples.map((sample) => sample.time));
  const end = Math.max(1, ...samples.map((sample) => sample.offset + sample.length));
  const x = (time: number): number => LEFT + (INNER * time) / last;
  const y = (offset: number): number => top + PANEL * (1 - offset / end);
  const parts = [heading(top, 'Offset over time, as recorded'), frame(top)];
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    parts.push(gridY(y(end * part), formatSize(Math.round(end * part))));
    parts.push(gridX(x(last * part), top, part === 0 ? '0' : durationText(last * part)));
  }
  const shown: (readonly [string, string])[] = [];
  for (const [op, colour] of Object.entries(OP_COLOURS)) {
    const own = samples.filter((sample) => sample.op === op);
    if (own.length === 0) continue;
    shown.push([op, colour]);
    const path = own.map((sample) => {
      const height = Math.max(SMALLEST_MARK, (PANEL * sample.length) / end);
      const bottom = Math.min(top + PANEL, y(sample.offset) + SMALLEST_MARK / 2);
      const left = Math.min(LEFT + INNER - SMALLEST_MARK, x(sample.time));
      return `M${left.toFixed(1)} ${bottom.toFixed(1)}v${-height.toFixed(1)}h${SMALLEST_MARK}v${height.toFixed(1)}z`;
    });
    parts.push(`<path fill="${colour}" fill-opacity="0.55" d="${path.join('')}"/>`);
  }
  return [...parts, ...legend(shown, top)];
}

function heading(top: number, words: string): string {
  return text(LEFT, top - 10, words, 'font-size="13" font-weight="600"');
}

function frame(top: number): string {
  return `<rect x="${LEFT}" y="${top}" width="${INNER}" height="${PANEL}" fill="#f9fafb" stroke="#d1d5db"/>`;
}

function gridY(y: number, label: string): string {
  const at = y.toFixed(1);
  return (
    `<line x1="${LEFT}" x2="${LEFT + INNER}" y1="${at}" y2="${at}" stroke="#e5e7eb"/>` +
    text(LEFT - 8, y + 4, label, 'text-anchor="end"')
  );
}

function gridX(x: number, top: number, label: string): string {
  const at = x.toFixed(1);
  return (
    `<line x1="${at}" x2="${at}" y1="${top}" y2="${top + PANEL}" stroke="#e5e7eb"/>` +
    text(x, top + PANEL + 18, label, 'text-anchor="middle"')
  );
}

const LEGEND_STEP = 92;

function legend(entries: readonly (readonly [name: string, colour: string])[], top: number): string[] {
  return entries.map(([name, colour], index) => {
    const x = LEFT + INNER - (entries.length - index) * LEGEND_STEP;
    return `<rect x="${x}" y="${top - 19}" width="12" height="10" fill="${colour}"/>${text(x + 18, top - 10, name)}`;
  });
}
