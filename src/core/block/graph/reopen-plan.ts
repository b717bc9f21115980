/** What reopening comes to: for each node its new modes, options and children, judged before anything is touched. */
import { isDeepStrictEqual } from 'node:util';
import { BlockError, NotSupported, Usage } from '../../errors/block-error.ts';
import { isRecord } from '../../options/field.ts';
import { validate } from '../../options/parse.ts';
import type { Options } from '../../options/schema.ts';
import type { ChildRole, ChildSlot } from '../driver.ts';
import type { BlockGraph } from './block-graph.ts';
import {
  type CommonOptions,
  commonOptions,
  defaultModes,
  type InheritedModes,
  isCommon,
  modesForChild,
  pickCommon,
  resolveModes,
} from './common-options.ts';
import type { Edge } from './edge.ts';
import type { Node } from './node.ts';
import { slotsOf } from './slots.ts';
import type { NodeSpec } from './spec.ts';

export interface Reopening {
  readonly node: Node;
  /** Its options anew: what is left out goes back to its default. Children are named, or stay when left out. */
  readonly spec: NodeSpec;
}

export interface Plan {
  readonly node: Node;
  readonly own: CommonOptions;
  readonly modes: InheritedModes;
  readonly options: Options;
  readonly children: readonly ChildChange[];
}

export interface ChildChange {
  readonly name: string;
  readonly role: ChildRole;
  /** The link there is, and where it leads now. */
  readonly edge: Edge | undefined;
  readonly before: Node | undefined;
  readonly to: Node | undefined;
}

export function planReopening(graph: BlockGraph, requests: readonly Reopening[]): Plan[] {
  const planner = new Planner(graph);
  for (const { node, spec } of requests) planner.add(node, spec, defaultModes);
  return [...planner.plans.values()];
}

/** A node that is to be written to, or not any more. */
export interface ModeChange {
  readonly node: Node;
  readonly readOnly: boolean;
  /** What is said of its modes from then on. */
  readonly own: CommonOptions;
}

/** All else of the nodes stays; what was opened with them follows. */
export function planModes(graph: BlockGraph, changes: readonly ModeChange[]): Plan[] {
  const planner = new Planner(graph);
  for (const change of changes) planner.addMode(change);
  return [...planner.plans.values()];
}

class Planner {
  readonly plans = new Map<Node, Plan>();
  readonly #graph: BlockGraph;

  constructor(graph: BlockGraph) {
    this.#graph = graph;
  }

  add(node: Node, spec: NodeSpec, inherited: InheritedModes): void {
    if (this.plans.has(node)) throw new Usage(`node '${node.name}' is named twice`);
    if (spec.driver !== undefined && spec.driver !== node.driver.name) {
      throw new NotSupported(
        `the driver of node '${node.name}' cannot change from ${node.driver.name} to ${spec.driver}`,
      );
    }
    const own = validate(commonOptions, pickCommon(spec), `node '${node.name}'`);
    if (own.trace !== node.own.trace) {
      throw new NotSupported(`option 'trace' of node '${node.name}' cannot be changed while it is open`);
    }
    const modes = modesOf(node, own, inherited);
    const slots = slotsOf(node.driver);
    const options = driverOptions(node, spec, slots);
    const children: ChildChange[] = [];
    this.plans.set(node, { node, own, modes, options, children });
    for (const name of new Set([...slots.map((slot) => slot.name), ...node.children.keys()])) {
      const change = this.#child(node, modes, {
        name,
        given: spec[name],
        slot: slots.find((slot) => slot.name === name),
      });
      if (change && change.before !== change.to) children.push(change);
    }
  }

  addMode({ node, readOnly, own }: ModeChange): void {
    const modes = { ...defaultModes, ...node.modes, readOnly };
    assertSharing(modes);
    this.plans.set(node, { node, own, modes, options: node.options, children: [] });
    for (const edge of node.children.values()) if (edge.follows) this.#follow(node, edge, modes, undefined);
  }

  /** What becomes of one child; undefined when it stays. */
  #child(
    node: Node,
    modes: InheritedModes,
    { name, given, slot }: { readonly name: string; readonly given: unknown; readonly slot: ChildSlot | undefined },
  ): ChildChange | undefined {
    const edge = node.children.get(name);
    const change = { name, role: edge?.role ?? slot?.role ?? 'data', edge, before: edge?.node } as const;
    if (given === undefined) {
      if (edge && name === 'backing') {
        throw new Usage(
          `'backing' of node '${node.name}' must be given, since it has a backing file: its name, or null`,
        );
      }
      if (edge?.follows) this.#follow(node, edge, modes, undefined);
      return undefined;
    }
    if (given === null) {
      if (slot && !slot.lazy) throw new Usage(`'${name}' of node '${node.name}' must not be null`);
      return { ...change, to: undefined };
    }
    if (typeof given === 'string') {
      const to = this.#graph.find(given);
      if (!edge && name !== 'backing')
        throw new NotSupported(`node '${node.name}' cannot be given a new child '${name}'`);
      return { ...change, to };
    }
    if (!isRecord(given)) throw new Usage(`'${name}' must be a node name or options`);
    if (!edge?.follows) {
      throw new Usage(`'${name}' of node '${node.name}' must be given as the name of a node that is open`);
    }
    this.#follow(node, edge, modes, given as NodeSpec);
    return undefined;
  }

  /** A child that was opened with its parent changes with it. */
  #follow(parent: Node, edge: Edge, modes: InheritedModes, spec: NodeSpec | undefined): void {
    const { node: child, role, follows } = edge;
    const filterAbove = parent.driver.kind === 'filter';
    const inherited = modesForChild(modes, { role, readOnly: follows?.readOnly, filterAbove });
    if (spec) {
      if (spec['node-name'] !== undefined && spec['node-name'] !== child.name) {
        throw new NotSupported(`the name of node '${child.name}' cannot change to '${String(spec['node-name'])}'`);
      }
      this.add(child, spec, inherited);
      return;
    }
    if (this.plans.has(child)) return;
    const next = modesOf(child, child.own, inherited);
    const plan: Plan = { node: child, own: child.own, modes: next, options: child.options, children: [] };
    if (!isDeepStrictEqual({ ...next }, { ...defaultModes, ...child.modes })) this.plans.set(child, plan);
    for (const below of child.children.values()) if (below.follows) this.#follow(child, below, next, undefined);
  }
}

/** The new modes; how a node was opened for its header only, or for repair, is nobody's option. */
function modesOf(node: Node, own: CommonOptions, inherited: InheritedModes): InheritedModes {
  const { noIo, forRepair } = node.modes;
  const modes = { ...resolveModes(own, inherited), noIo, forRepair };
  assertSharing(modes);
  if (own['detect-zeroes'] === 'unmap' && !modes.unmap) throw new BlockError('detect-zeroes=unmap needs discard=unmap');
  return modes;
}

function assertSharing({ forceShare, readOnly }: InheritedModes): void {
  if (forceShare && !readOnly) throw new BlockError('force-share=on can only be used with read-only images');
}

function driverOptions(node: Node, spec: NodeSpec, slots: readonly ChildSlot[]): Options {
  const children = new Set([...slots.map((slot) => slot.name), ...node.children.keys()]);
  const rest = Object.fromEntries(
    Object.entries(spec).filter(([key, value]) => value !== undefined && !isCommon(key) && !children.has(key)),
  );
  return validate(node.driver.options, rest, `driver '${node.driver.name}'`);
}
