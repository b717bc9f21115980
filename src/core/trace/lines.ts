/** Text lines of a trace. */
import { BlockError } from '../errors/block-error.ts';

/** Longest line in bytes: ten times what any of the formats needs. */
const MAX_LINE = 64 * 1024;
const NEWLINE = 10;

export interface Line {
  readonly text: string;
  /** From 1. */
  readonly number: number;
  /** The file ended within it. */
  readonly torn: boolean;
}

/** Lines in groups, one for each chunk. Throws for a line that is too long. */
export async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<readonly Line[]> {
  let rest: Buffer = Buffer.alloc(0);
  let number = 0;
  for await (const chunk of chunks) {
    const lines: Line[] = [];
    const data =
      rest.length === 0 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length) : Buffer.concat([rest, chunk]);
    let at = 0;
    for (let end = data.indexOf(NEWLINE, at); end >= 0; end = data.indexOf(NEWLINE, at)) {
      assertLength(end - at, number + 1);
      lines.push({ text: data.toString('utf8', at, end), number: ++number, torn: false });
      at = end + 1;
    }
    rest = data.subarray(at);
    assertLength(rest.length, number + 1);
    yield lines;
  }
  if (rest.length > 0) yield [{ text: rest.toString('utf8'), number: number + 1, torn: true }];
}

function assertLength(length: number, number: number): void {
  if (length <= MAX_LINE) return;
  throw new BlockError(`line ${number} is longer than ${MAX_LINE} bytes`);
}
