/** The NBD server of a program and what it serves, by the ids of the control socket. */
import { Backend } from '../block/backend/backend.ts';
import type { NamedBitmap } from '../block/bitmaps/named-bitmap.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import { linkDown } from '../block/graph/freeze.ts';
import type { Node } from '../block/graph/node.ts';
import { operations } from '../block/graph/operations.ts';
import { BlockError } from '../errors/block-error.ts';
import { type BitmapSource, bitmapSource } from '../export/bitmap-source.ts';
import { Export } from '../export/export.ts';
import type { ListenAddress } from '../export/nbd-listener.ts';
import { NbdServer } from '../export/nbd-server.ts';
import type { ServerCredentials } from '../export/server-credentials.ts';
import { IDENTIFIER_HINT, isIdentifier } from '../options/identifier.ts';
import { namedNode } from './block-nodes.ts';

export interface NbdServerRequest {
  readonly addresses: readonly ListenAddress[];
  readonly maxConnections: number;
  readonly handshakeSeconds: number;
  readonly credentials?: ServerCredentials | undefined;
}

export interface ExportRequest {
  readonly id: string;
  readonly node: string;
  /** What clients call it; by default the name of the node. */
  readonly name?: string | undefined;
  readonly description?: string | undefined;
  readonly writable: boolean;
  readonly writethrough: boolean;
  readonly bitmaps: readonly (string | { readonly node: string; readonly name: string })[];
  readonly allocationDepth: boolean;
}

interface Entry {
  readonly id: string;
  readonly served: Export;
  removing: boolean;
}

export class Exports {
  readonly #graph: BlockGraph;
  readonly #deleted: (id: string) => void;
  readonly #entries = new Map<string, Entry>();
  #server: NbdServer | undefined;

  constructor(graph: BlockGraph, deleted: (id: string) => void) {
    this.#graph = graph;
    this.#deleted = deleted;
  }

  /** Returns where it listens, with the port that was chosen. */
  async start(request: NbdServerRequest): Promise<ListenAddress[]> {
    if (this.#server) throw new BlockError('the NBD server is running already', { code: 'EBUSY' });
    const server = new NbdServer({
      shared: 0,
      maxConnections: request.maxConnections,
      handshakeLimit: request.handshakeSeconds * 1000,
      credentials: request.credentials,
    });
    this.#server = server;
    try {
      const places: ListenAddress[] = [];
      for (const address of request.addresses) places.push(await server.listen(address));
      return places;
    } catch (error) {
      this.#server = undefined;
      await server.stop();
      throw error;
    }
  }

  /** Cut off all clients; the exports are gone with the server. */
  async stop(): Promise<void> {
    const server = this.#running();
    this.#server = undefined;
    try {
      await server.stop();
    } finally {
      for (const entry of [...this.#entries.values()]) this.#gone(entry);
    }
  }

  /** Returns the user of the node that it has become. */
  add(request: ExportRequest): Backend {
    const { id, writable } = request;
    if (!isIdentifier(id)) throw new BlockError(`'${id}' is no valid id of an export`, { hint: IDENTIFIER_HINT });
    if (this.#entries.has(id))
      throw new BlockError(`there is already an export with the id '${id}'`, { code: 'EEXIST' });
    const server = this.#running();
    const node = namedNode(this.#graph, request.node);
    const backend = Backend.attach(this.#graph, node, {
      user: `export '${id}'`,
      name: id,
      permissions: operations[writable ? 'export-writable' : 'export'].image,
      writethrough: request.writethrough,
    });
    const bitmaps: BitmapSource[] = [];
    try {
      for (const wanted of request.bitmaps) bitmaps.push(bitmapSource(this.#bitmap(node, wanted), `export '${id}'`));
      const name = request.name ?? request.node;
      const { description, allocationDepth } = request;
      const served = new Export({ name, description, backend, readOnly: !writable, bitmaps, allocationDepth });
      server.addExport(served);
      this.#entries.set(id, { id, served, removing: false });
      return backend;
    } catch (error) {
      for (const bitmap of bitmaps) bitmap.release?.();
      void backend.close().catch(() => undefined);
      throw error;
    }
  }

  /** Resolves when it is removed, or with `hard` as soon as that has begun. */
  async remove(id: string, hard: boolean): Promise<void> {
    const entry = this.#entries.get(id);
    if (!entry) {
      throw new BlockError(`there is no export '${id}'`, { code: 'ENOENT' });
    }
    if (entry.removing) throw new BlockError(`export '${id}' is being removed already`, { code: 'EBUSY' });
    entry.removing = true;
    const server = this.#running();
    try {
      await server.removeExport(entry.served.name, hard);
    } catch (error) {
      entry.removing = false;
      if (!server.exports.has(entry.served.name)) this.#gone(entry);
      throw error;
    }
    this.#gone(entry);
  }

  /** The id of the export that clients know by this name. */
  idOf(name: string): string {
    for (const { id, served } of this.#entries.values()) if (served.name === name) return id;
    throw new BlockError(`there is no export named '${name}'`, { code: 'ENOENT' });
  }

  list(): { id: string; node: string; removing: boolean }[] {
    return [...this.#entries.values()].map(({ id, served, removing }) => ({
      id,
      node: removing ? '' : this.#nodeNameOf(served.backend),
      removing,
    }));
  }

  /** Empty for one that was closed by force: another node may have the name by now. */
  #nodeNameOf({ image }: Backend): string {
    return this.#graph.closedInUse.has(image) ? '' : image.name;
  }

  /** Let all go; failures in closing come at the end. */
  async close(): Promise<void> {
    if (this.#server) await this.stop();
  }

  /** The server may have been stopped meanwhile, and another export have got the id. */
  #gone(entry: Entry): void {
    if (this.#entries.get(entry.id) !== entry) return;
    this.#entries.delete(entry.id);
    this.#deleted(entry.id);
  }

  #running(): NbdServer {
    if (this.#server) return this.#server;
    throw new BlockError('the NBD server is not running', { hint: 'Start it with nbd-server-start' });
  }

  /** A bitmap of a node of its own, or of the nearest in the chain that has one of that name. */
  #bitmap(top: Node, wanted: ExportRequest['bitmaps'][number]): NamedBitmap {
    if (typeof wanted !== 'string') return namedNode(this.#graph, wanted.node).io.bitmaps.get(wanted.name);
    for (let node: Node | undefined = top; node; node = linkDown(node)?.node) {
      const found = node.io.bitmaps.find(wanted);
      if (found) return found;
    }
    throw new BlockError(`no node below '${top.name}' has a dirty bitmap '${wanted}'`, { code: 'ENOENT' });
  }
}
