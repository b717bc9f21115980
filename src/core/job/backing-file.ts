/** What must hold of a backing file before an image is made on top of it. */
import { Backend } from '../block/backend/backend.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import { resolveName } from '../block/graph/file-name.ts';
import { nodeInFile } from '../block/graph/files.ts';
import { operations } from '../block/graph/operations.ts';
import { entryOf, specFromFileName } from '../block/graph/spec.ts';
import { BlockError, naming, Usage } from '../errors/block-error.ts';

export interface BackingRequest {
  /** The image that is to be made. */
  readonly fileName: string;
  /** As it will be written in that image, relative to its folder. */
  readonly backingFile: string;
  readonly backingFormat?: string | undefined;
  /** What to add, as a line of its own, when it cannot be opened. */
  readonly unopened?: string | undefined;
}

export interface BackingFacts {
  /** Length of the backing disk in bytes. */
  readonly size: number;
  readonly format: string;
}

/**
 * Open the backing file, no data and no locks, and look at it. Throws when it is no good name, when its format is not
 * given (what it looks like is in the hint), when it cannot be opened, or when the new image would overwrite its chain.
 */
export async function inspectBacking(graph: BlockGraph, request: BackingRequest): Promise<BackingFacts> {
  const { fileName, backingFile, backingFormat } = request;
  assertBackingName(fileName, backingFile);
  const resolved = resolveName(fileName, backingFile);
  let backend: Backend;
  try {
    backend = await Backend.open(graph, specFromFileName(graph.settings.drivers, resolved, backingFormat), {
      user: `the making of '${fileName}'`,
      permissions: operations.inspect.image,
      open: { modes: { readOnly: true, forceShare: true, noIo: true } },
    });
  } catch (error) {
    const { message, code, hint, followUp } = naming(resolved, `'${resolved}'`, error);
    const lines = [followUp, request.unopened].filter((line) => line !== undefined);
    throw new BlockError(message, { code, cause: error, hint, followUp: lines.join('\n') || undefined });
  }
  await using opened = backend;
  const facts = { size: opened.size, format: opened.image.driver.name };
  if (backingFormat === undefined) throw formatNeeded(backingFile, facts.format);
  if (nodeInFile(opened.image, fileName)) {
    throw new BlockError(`'${fileName}' cannot be made on top of '${backingFile}', which needs it`);
  }
  return facts;
}

/** A name that can be written without looking at the file. */
export function assertBackingName(fileName: string, backingFile: string): void {
  if (backingFile === '') throw new Usage('the name of the backing file is empty');
  if (backingFile === fileName) {
    throw new BlockError(`'${fileName}' cannot be its own backing file`);
  }
}

/**
 * A format that can be written without looking at the file, which whoever opens the image then takes as it stands.
 * @throws BlockError for one that there is no driver for.
 */
export function assertBackingFormat(graph: BlockGraph, format: unknown): void {
  if (typeof format === 'string') entryOf(graph.settings.drivers, format);
}

function formatNeeded(backingFile: string, found: string): Usage {
  return new Usage(`a backing file needs its format to be given, for '${backingFile}'`, {
    hint: `It looks like ${found}: give -F ${found}`,
  });
}
