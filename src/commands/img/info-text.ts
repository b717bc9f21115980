/** The description of an image for people: the lines of `img info`. Scripts read them, so their form is fixed. */
import type { ImageDescription, SnapshotDescription } from '../../core/block/graph/image-info.ts';
import { formatSize } from '../../core/bytes/sizes.ts';
import { nestedLines } from '../cli/nested-lines.ts';
import { printable } from '../cli/output.ts';

export function infoText(info: ImageDescription): string {
  const size = info['virtual-size'];
  const actual = info['actual-size'];
  const lines = [
    `image: ${info.filename}`,
    `file format: ${info.format}`,
    `virtual size: ${formatSize(size)} (${size} bytes)`,
    `disk size: ${actual === undefined ? 'unavailable' : formatSize(actual)}`,
  ];
  if (info.encrypted) lines.push('encrypted: yes');
  if (info['cluster-size'] !== undefined) lines.push(`cluster_size: ${info['cluster-size']}`);
  if (info['dirty-flag']) lines.push('cleanly shut down: no');
  lines.push(...backingLines(info));
  if (info.snapshots) lines.push('Snapshot list:', ...snapshotLines(info.snapshots));
  const specific = info['format-specific'];
  if (specific) lines.push('Format specific information:', ...nestedLines(specific.data, 1));
  return `${lines.map(printable).join('\n')}\n`;
}

function backingLines(info: ImageDescription): string[] {
  const name = info['backing-filename'];
  if (name === undefined) return [];
  const full = info['full-backing-filename'];
  const where = full === undefined ? ' (cannot determine actual path)' : full === name ? '' : ` (actual path: ${full})`;
  const format = info['backing-filename-format'];
  return [`backing file: ${name}${where}`, ...(format === undefined ? [] : [`backing file format: ${format}`])];
}

/** The table of internal snapshots, with its heading; with `alone`, a column more for the bytes that each alone holds. */
export function snapshotLines(snapshots: readonly SnapshotDescription[], alone?: readonly number[]): string[] {
  const column = (text: string): string => (alone ? text.padStart(12) : '');
  const row = (id: string, tag: string, size: string, date: string, clock: string, icount: string): string =>
    `${id.padEnd(9)} ${tag.padEnd(16)} ${size.padStart(8)}${date.padStart(20)}${clock.padStart(13)}${icount.padStart(11)}`;
  return [
    `${row('ID', 'TAG', 'VM SIZE', 'DATE', 'VM CLOCK', 'ICOUNT')}${column('ALONE')}`,
    ...snapshots.map(
      (snapshot, index) =>
        `${row(
          snapshot.id,
          snapshot.name,
          formatSize(snapshot['vm-state-size']),
          localTime(snapshot['date-sec']),
          clockText(snapshot['vm-clock-sec'], snapshot['vm-clock-nsec']),
          snapshot.icount === undefined ? '' : String(snapshot.icount),
        )}${column(formatSize(alone?.[index] ?? 0))}`,
    ),
  ];
}

function localTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function clockText(seconds: number, nanoseconds: number): string {
  const milliseconds = String(Math.floor(nanoseconds / 1e6)).padStart(3, '0');
  const hours = Math.floor(seconds / 3600);
  return `${two(hours)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${milliseconds}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
