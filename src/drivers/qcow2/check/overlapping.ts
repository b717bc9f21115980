/** A table, in bytes. */
interface Place {
  readonly offset: number;
  readonly length: number;
}

/**
 * The bytes that these tables have in the file, all together, where that is more than the file has: some lie on one
 * another then, and reading them all could take time without end. Undefined where they may lie apart.
 */
export function overlappingBytes(fileSize: number, tables: readonly Place[]): number | undefined {
  const inFile = tables.map(({ offset, length }) => Math.max(0, Math.min(length, fileSize - offset)));
  const bytes = inFile.reduce((sum, length) => sum + length, 0);
  return bytes > fileSize ? bytes : undefined;
}
