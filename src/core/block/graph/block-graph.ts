/** The graph of one program: its nodes by name, and the ends of their lives. */
import { BlockError } from '../../errors/block-error.ts';
import { type Damage, type DamageListener, damageLine } from '../damage.ts';
import type { DriverList } from '../driver.ts';
import { ObjectStore } from '../objects/object-store.ts';
import { assertLinkable, assertOpen } from './changes.ts';
import { stayQuiet } from './drain.ts';
import { Edge, type EdgeParent } from './edge.ts';
import type { Hold, Node } from './node.ts';
import { complete, type PermPair, refreshPermissions, setEdgePermissions } from './permissions.ts';
import type { ReferencePolicy } from './references.ts';
import type { Holder } from './refusal.ts';
import { type Transaction, transact } from './transaction.ts';

/**
 * `warn`: say so, also where nothing but the file is another one, of which the disk need not have changed; `warn-certain`:
 * only where the disk was written to; `refuse`: open the image in neither case.
 */
export type ChangedBasePolicy = 'warn' | 'warn-certain' | 'refuse';

export interface GraphSettings {
  readonly drivers: DriverList;
  readonly references: ReferencePolicy;
  /** What to do about an image whose backing file is not what it was; default: warn. */
  readonly changedBase?: ChangedBasePolicy;
  /** Lines for the user that are no errors. */
  warn(message: string): void;
  /** A line for the user as it stands; default: as a warning. */
  note?(line: string): void;
  /** Aborted: the user does not want to wait any longer for what is being opened. */
  readonly signal?: AbortSignal;
}

const NODE_NAME = /^[a-zA-Z][a-zA-Z0-9._-]{0,30}$/;

export class BlockGraph implements AsyncDisposable {
  readonly settings: GraphSettings;
  readonly nodes = new Map<string, Node>();
  /** Nodes that were closed below their users, for as long as they have any; their names are free. */
  readonly closedInUse = new Set<Node>();
  /** What users define beside the nodes, for them to refer to. */
  readonly objects = new ObjectStore();
  /** Who wants to hear of images that prove damaged while in use. */
  readonly damageListeners = new Set<DamageListener>();
  #counter = 0;
  readonly #reserved = new Set<string>();
  /** Nodes that have begun to close, and not ended. */
  readonly #closing = new Set<Promise<void>>();

  constructor(settings: GraphSettings) {
    this.settings = settings;
  }

  tellDamage(nodeName: string, damage: Damage): void {
    const line = damageLine(damage);
    if (line !== undefined) this.note(line);
    for (const listener of this.damageListeners) listener(nodeName, damage);
  }

  note(line: string): void {
    (this.settings.note ?? this.settings.warn)(line);
  }

  find(name: string): Node {
    const node = this.nodes.get(name);
    if (!node) throw new BlockError(`there is no node named '${name}'`, { code: 'ENOENT' });
    return node;
  }

  /** Keep a name for a node about to be opened: the user's, checked, or a generated one. */
  reserveName(wanted: string | undefined): string {
    const name = wanted ?? `#block${String(this.#counter++).padStart(3, '0')}`;
    if (wanted !== undefined && !NODE_NAME.test(wanted)) {
      throw new BlockError(
        `'${wanted}' is not a valid node name: up to 31 letters, digits, '.', '-', '_', a letter first`,
      );
    }
    if (this.nodes.has(name) || this.#reserved.has(name)) {
      throw new BlockError(`there is already a node named '${name}'`, { code: 'EEXIST' });
    }
    this.#reserved.add(name);
    return name;
  }

  dropName(name: string): void {
    this.#reserved.delete(name);
  }

  add(node: Node): void {
    this.#reserved.delete(node.name);
    this.nodes.set(node.name, node);
    for (const edge of node.children.values()) stayQuiet(edge);
  }

  /** Keep `node` open, used or not, until that is released. Any number may hold it. Throws for one that is closing. */
  hold(node: Node, by: Holder): Hold {
    assertOpen(node);
    const release = async (): Promise<void> => {
      if (node.holds.delete(hold)) await this.closeIfUnused(node);
    };
    const hold: Hold = { by, release, [Symbol.asyncDispose]: release };
    node.holds.add(hold);
    return hold;
  }

  /** Link `parent` to `node` with permissions that hold from now on; throws with nothing changed. */
  attach(link: { parent: EdgeParent; node: Node; name: string; role: Edge['role'] }, permissions: PermPair): Edge {
    assertLinkable(link.parent.node, link.node);
    const edge = new Edge(link);
    transact((transaction) => {
      linkEdge(transaction, edge);
      setEdgePermissions(transaction, edge, permissions);
      refreshPermissions(transaction, [edge.node]);
    });
    stayQuiet(edge);
    return edge;
  }

  /** Change what `edge` needs and shares; throws with nothing changed, and never when that only relaxes. */
  setPermissions(edge: Edge, permissions: PermPair): void {
    const { perm, shared, sharedBelow } = complete(permissions);
    const loosening =
      (perm & ~edge.perm) === 0 && (edge.shared & ~shared) === 0 && (edge.sharedBelow & ~sharedBelow) === 0;
    transact((transaction) => {
      setEdgePermissions(transaction, edge, permissions);
      refreshPermissions(transaction, [edge.node], { loosening });
    });
  }

  /** Remove `edge`; the node below closes when that was its last user. Doing so again does nothing. */
  async detach(edge: Edge): Promise<void> {
    const { node, parent } = edge;
    if (!node.parents.delete(edge)) return;
    if (parent.node?.children.get(edge.name) === edge) parent.node.children.delete(edge.name);
    if (node.parents.size === 0) this.closedInUse.delete(node);
    if (node.parents.size > 0 || node.holds.size > 0) {
      transact((transaction) => refreshPermissions(transaction, [node], { loosening: true }));
      return;
    }
    await this.#close(node);
  }

  /** Close `node` when nobody has attached to it, nor holds it. */
  async closeIfUnused(node: Node): Promise<void> {
    const isUsed = node.parents.size > 0 || node.holds.size > 0;
    if (!isUsed && this.nodes.get(node.name) === node) await this.#close(node);
  }

  /** Close `node` below its users, who must not get through to it any more (`force-close.ts`). */
  async closeUsed(node: Node): Promise<void> {
    if (node.parents.size > 0) this.closedInUse.add(node);
    await this.#close(node);
  }

  /** Close every node that is only held, top first, then let the objects go. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (let root = this.#unused(); root; root = this.#unused()) {
      await this.#close(root).catch((error: unknown) => failures.push(error));
    }
    // Whoever let go of these last hears how that went.
    while (this.#closing.size > 0) await Promise.allSettled(this.#closing);
    await this.objects.close().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }

  #unused(): Node | undefined {
    for (const node of this.nodes.values()) if (node.parents.size === 0) return node;
    return undefined;
  }

  async #close(node: Node): Promise<void> {
    if (this.nodes.get(node.name) === node) this.nodes.delete(node.name);
    const closing = node.close((edge) => this.detach(edge)).finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    await closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function linkEdge(transaction: Transaction, edge: Edge): void {
  edge.node.parents.add(edge);
  transaction.add({ abort: () => void edge.node.parents.delete(edge) });
}
