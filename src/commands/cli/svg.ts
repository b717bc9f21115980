/** What pictures in SVG share. */

/** A text with its baseline at `y`; `words` is markup already (see {@link escaped}). */
export function svgText(x: number, y: number, words: string, more = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}"${more === '' ? '' : ` ${more}`}>${words}</text>`;
}

/** Words for the text of an element or an attribute in double quotes; control characters show as `?`. */
export function escaped(words: string): string {
  return words
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replace(/\p{Cc}/gu, '?');
}
