/**
 * `trace`: every request that passes is recorded in a file. The same is done for any node by its option `trace`, without
 * a node in between; a filter can be put in and taken out while data flows, and stays where its users are when the nodes
 * below it change.
 *
 * Block status is not recorded: the graph asks the child directly.
 */
import type { Maybe } from '../../core/async/maybe.ts';
import type { Driver, Flags, HostExtent, Limits, OpenContext, TruncateOptions } from '../../core/block/driver.ts';
import { FilterImage, withoutBounds } from '../../core/block/filter.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { RecordedRequests } from '../../core/block/recorded.ts';
import { defineOptions, type OptionsOf, text } from '../../core/options/fields.ts';

const options = defineOptions({
  'trace-file': text({ help: 'File to record in; ending in .gz or .zst it is compressed', required: true }),
});

type TraceOptions = OptionsOf<typeof options>;

class TraceImage extends FilterImage {
  readonly #requests: RecordedRequests;
  readonly #limits: Limits;

  constructor(file: Edge, requests: RecordedRequests) {
    super(file);
    this.#requests = requests;
    // As they come, not as the child takes them: that is put right behind the record.
    this.#limits = withoutBounds(file.limits);
  }

  override get limits(): Limits {
    return this.#limits;
  }

  override read(offset: number, buf: Uint8Array): Maybe<void> {
    return this.#requests.read(offset, buf);
  }

  override readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    return this.#requests.readv(offset, bufs);
  }

  override write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    return this.#requests.write(offset, buf, flags);
  }

  override writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    return this.#requests.writev(offset, bufs, flags);
  }

  protected override passCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    return this.#requests.writeCompressed(offset, buf);
  }

  override zero(offset: number, length: number, flags: Flags): Maybe<void> {
    return this.#requests.zero(offset, length, flags);
  }

  override discard(offset: number, length: number): Maybe<void> {
    return this.#requests.discard(offset, length);
  }

  override flush(): Maybe<void> {
    return this.#requests.flush();
  }

  override truncate(size: number, how: TruncateOptions): Promise<void> {
    return this.#requests.truncate(size, how);
  }

  override copyRangeFrom(offset: number, target: Edge, targetOffset: number, length: number): Maybe<boolean> {
    return this.#requests.copyRangeFrom(offset, target, targetOffset, length);
  }

  override copyRangeTo(offset: number, source: HostExtent, length: number): Maybe<boolean> {
    return this.#requests.copyRangeTo(offset, source, length);
  }

  override close(): Promise<void> {
    return this.#requests.close();
  }
}

async function open(context: OpenContext<TraceOptions>): Promise<TraceImage> {
  const file = context.child('file');
  const node = { name: file.node.name, size: file.node.image.size, fileName: context.fileName };
  const { warn, options: given } = context;
  return new TraceImage(file, await RecordedRequests.to(file, { file: given['trace-file'], node, warn }));
}

export const traceDriver: Driver<TraceOptions> = {
  name: 'trace',
  kind: 'filter',
  options,
  writesFiles: true,
  open,
};
