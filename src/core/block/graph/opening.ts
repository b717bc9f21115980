/** One call of opening a node: its driver, its children, and what to undo when it fails. */
import fs from 'node:fs';
import { Closer } from '../../async/closer.ts';
import { asBlockError, BlockError, reworded } from '../../errors/block-error.ts';
import { isRecord } from '../../options/field.ts';
import { fieldsOf } from '../../options/fields.ts';
import { validate } from '../../options/parse.ts';
import { usableBits } from '../bitmaps/verbs.ts';
import type { ChildRequest, ChildRole, ChildSlot, Driver, Image, OpenContext } from '../driver.ts';
import type { ObjectUse } from '../objects/object-store.ts';
import type { BlockGraph } from './block-graph.ts';
import { type CommonOptions, type InheritedModes, isCommon, modesForChild } from './common-options.ts';
import type { Edge, EdgeParent } from './edge.ts';
import { localPath, resolveName } from './file-name.ts';
import { checkBase } from './fingerprint.ts';
import { Node } from './node.ts';
import { childPermissions, type PermPair, refreshPermissions } from './permissions.ts';
import { probeFormat, sniffFormat } from './probe.ts';
import { assertNoTrace, recordRequests } from './recording.ts';
import { assertReferenceAllowed } from './references.ts';
import { slotsOf } from './slots.ts';
import {
  entryOf,
  FILE_NAME_TO_PARSE,
  type NodeSpec,
  namesContent,
  protocolSpec,
  specFromFileName,
  withProtocol,
} from './spec.ts';
import { transact } from './transaction.ts';

/** A longer backing chain is refused: the depth is chosen by files. */
export const MAX_DEPTH = 512;

/** What an open call hands down to those of the children. */
export interface Frame {
  readonly graph: BlockGraph;
  readonly inherited: InheritedModes;
  readonly noBacking: boolean;
  /** Local files on the way down through header references, to see loops. */
  readonly ancestors: readonly string[];
  /** The node is the file of a format: a filter in that place does not probe what it filters either. */
  readonly plain: boolean;
  /** The image that asks for this node, or for one that it is part of. */
  readonly askedBy?: string;
  open(spec: NodeSpec, frame: Frame): Promise<Node>;
}

export interface Attempt {
  readonly spec: NodeSpec;
  readonly own: CommonOptions;
  readonly modes: InheritedModes;
  readonly name: string;
  readonly frame: Frame;
}

/** The state of one open call: the edges it made, and what to undo. */
export class Opening {
  readonly #attempt: Attempt;
  readonly #closer = new Closer();
  readonly #edges: Edge[] = [];
  readonly #objects: ObjectUse[] = [];
  readonly #parent: EdgeParent;
  #driver: Driver | undefined;
  #probed = false;
  #backingOverridden = false;
  /** Opening has failed and is being undone: a child that arrives now is not wanted any more. */
  #failed = false;

  constructor(attempt: Attempt) {
    this.#attempt = { ...attempt, spec: withProtocol(attempt.frame.graph.settings.drivers, attempt.spec, false) };
    this.#parent = { kind: 'node', describe: () => `node '${attempt.name}'` };
  }

  async run(): Promise<Node> {
    let image: Image | undefined;
    try {
      const driver = await this.#findDriver();
      const { frame, own } = this.#attempt;
      if (frame.askedBy !== undefined) assertNoTrace(own, driver, frame.askedBy);
      await this.#openSlots(driver);
      this.#checkWritable();
      const options = this.#driverOptions(driver);
      image = await driver.open(this.#context(driver, options));
      return await this.#finish(driver, image, options);
    } catch (error) {
      this.#failed = true;
      await image?.close().catch(() => undefined);
      await this.#closer.close().catch(() => undefined);
      for (const use of this.#objects) use.release();
      for (const edge of this.#edges.reverse()) await this.#graph.detach(edge).catch(() => undefined);
      throw error;
    }
  }

  get #graph(): BlockGraph {
    return this.#attempt.frame.graph;
  }

  async #finish(driver: Driver, image: Image, options: Readonly<Record<string, unknown>>): Promise<Node> {
    const ownName = driver.kind === 'filter' ? undefined : driver.nameFor?.(options, () => undefined);
    const node = new Node({
      name: this.#attempt.name,
      driver,
      image,
      modes: this.#attempt.modes,
      own: this.#attempt.own,
      options,
      fileName: ownName ?? this.#fileName(options),
      nameSays: new Set(['filename', ...Object.keys(ownName === undefined ? this.#parsedName(driver) : options)]),
      detectZeroes: this.#attempt.own['detect-zeroes'] ?? 'off',
      children: this.#edges,
      objects: this.#objects,
      probed: this.#probed,
      backingOverridden: this.#backingOverridden,
    });
    // The driver may have narrowed the roles of its children, and says itself what it needs of them.
    transact((transaction) => refreshPermissions(transaction, [node]));
    if (!this.#attempt.modes.noIo) await checkBase(node, this.#graph.settings);
    await recordRequests(node, this.#graph);
    this.#graph.add(node);
    return node;
  }

  /** What only fell back to read-only below makes this node read-only too, by opening it once more. */
  #checkWritable(): void {
    const { modes } = this.#attempt;
    if (modes.readOnly || !modes.autoReadOnly) return;
    const edge = this.#edges.find((each) => each.node.modes.readOnly);
    if (edge) throw new BlockError(`'${edge.node.fileName}' can only be read`, { code: 'EACCES' });
  }

  /** The driver that is named; else the protocol is opened as `file` and probed. */
  async #findDriver(): Promise<Driver> {
    const { spec, own } = this.#attempt;
    const { drivers } = this.#graph.settings;
    if (own.driver !== undefined) {
      this.#driver = await entryOf(drivers, own.driver).load();
      return this.#driver;
    }
    if (spec.file === undefined) {
      throw new BlockError(`neither a driver nor a file is named in the options`, { data: { spec } });
    }
    const file = await this.#openChild({ name: 'file', role: 'filtered', probe: false }, spec.file);
    if (!file) throw new BlockError("'file' must not be null");
    const { driver } = await probeFormat(drivers, file);
    this.#driver = driver;
    this.#probed = true;
    return driver;
  }

  async #openSlots(driver: Driver): Promise<void> {
    for (const slot of slotsOf(driver)) {
      const there = this.#edges.find((edge) => edge.name === slot.name);
      if (there) {
        this.#setRole(there, slot.role);
        continue;
      }
      if (slot.lazy) continue;
      const follows = slot.role === 'filtered' && this.#attempt.frame.plain;
      const probe = (slot.anyNode ?? false) && !follows;
      const value = this.#slotValue(driver, slot);
      if (value === undefined || value === null) {
        throw new BlockError(`driver '${driver.name}' needs '${slot.name}'`);
      }
      await this.#openChild({ name: slot.name, role: slot.role, probe }, value);
    }
  }

  /** What the slot is opened from; an older option may give the file name apart from the options. */
  #slotValue(driver: Driver, slot: ChildSlot): unknown {
    const value = this.#given(driver, slot.name);
    const name = slot.nameOption === undefined ? undefined : this.#given(driver, slot.nameOption);
    if (typeof name !== 'string' || !(value === undefined || isRecord(value))) return value;
    if (typeof value?.driver !== 'string') return { [FILE_NAME_TO_PARSE]: name, ...value };
    return { ...specFromFileName(this.#graph.settings.drivers, name, value.driver), ...value };
  }

  /** What the options or the file name say of a child; `children.1` is the second of a list. */
  #given(driver: Driver, name: string): unknown {
    const parsed = this.#parsedName(driver);
    const said = { ...parsed, ...this.#attempt.spec };
    const [list = name, index] = name.split('.');
    const whole = said[list];
    if (index !== undefined && Array.isArray(whole)) return whole[Number(index)];
    const group = parsed[name];
    // Options of a child that the name gives as well are added to it.
    return isRecord(group) && isRecord(said[name]) ? { ...group, ...said[name] } : said[name];
  }

  /** An edge opened before the driver was known gets its proper role, and with it the locks. */
  #setRole(edge: Edge, role: ChildRole): void {
    edge.role = role;
    this.#graph.setPermissions(edge, this.#permissionsFor(role));
  }

  #permissionsFor(role: ChildRole): PermPair {
    return childPermissions(role, { perm: 0, shared: 15 }, this.#attempt.modes);
  }

  #driverOptions(driver: Driver): Readonly<Record<string, unknown>> {
    const { spec } = this.#attempt;
    const slots = new Set(slotsOf(driver).map((slot) => slot.name));
    const rest: Record<string, unknown> = {};
    for (const [key, value] of Object.entries({ ...this.#parsedName(driver), ...spec })) {
      if (value === undefined || isCommon(key) || slots.has(key) || key === FILE_NAME_TO_PARSE) continue;
      if (key === 'filename' && readsNames(driver)) continue;
      rest[key] = value;
    }
    return validate(driver.options, rest, `driver '${driver.name}'`);
  }

  /** Options that the driver reads out of the file name. */
  #parsedName(driver: Driver): Record<string, unknown> {
    const { spec } = this.#attempt;
    const unparsed = spec[FILE_NAME_TO_PARSE] ?? (readsNames(driver) ? spec.filename : undefined);
    return typeof unparsed === 'string' ? { ...driver.parseFileName?.(unparsed) } : {};
  }

  #fileName(options: Readonly<Record<string, unknown>>): string {
    const unparsed = this.#attempt.spec[FILE_NAME_TO_PARSE];
    if (typeof unparsed === 'string') return unparsed;
    const own = options.filename;
    if (typeof own === 'string') return own;
    const child =
      this.#edges.find((edge) => edge.name === 'file') ?? this.#edges.find((edge) => edge.role === 'filtered');
    return child?.node.fileName ?? `${this.#driver?.name ?? 'node'}://`;
  }

  /** The name that relative ones are meant against: below filters, which have no place of their own. */
  #homeName(driver: Driver): string {
    let node = this.#edges.find((edge) => edge.name === 'file')?.node;
    while (node?.driver.kind === 'filter' && node.filtered) node = node.filtered.node;
    return node?.fileName ?? this.#fileName(this.#driverOptions(driver));
  }

  #context(driver: Driver, options: Readonly<Record<string, unknown>>): OpenContext {
    const { frame, modes, name } = this.#attempt;
    const { settings } = frame.graph;
    return {
      options,
      modes,
      nodeName: name,
      fileName: this.#fileName(options),
      closer: this.#closer,
      probed: this.#probed,
      child: (wanted) => {
        const edge = this.#edges.find((each) => each.name === wanted);
        if (!edge) throw new Error(`driver '${driver.name}' has no child '${wanted}'`);
        return edge;
      },
      dirtyBitmap: (node, bitmap) => usableBits(frame.graph.find(node), bitmap),
      openChild: (request) => this.#openRequested(driver, request),
      sniff: (head) => sniffFormat(settings.drivers, head),
      warn: (message) => settings.warn(message),
      note: (line) => frame.graph.note(line),
      damaged: (damage) => frame.graph.tellDamage(name, damage),
      ...(settings.signal ? { signal: settings.signal } : {}),
      object: (kind, id) => {
        const use = frame.graph.objects.use(kind, id);
        this.#objects.push(use);
        return use.object;
      },
    };
  }

  /** A child that the driver asks for: the user's word on it first, then what the header says. */
  async #openRequested(driver: Driver, request: ChildRequest): Promise<Edge | undefined> {
    const { frame } = this.#attempt;
    const given = this.#given(driver, request.name);
    if (given === null || given === '') {
      this.#backingOverridden ||= request.name === 'backing';
      return undefined;
    }
    const { drivers } = frame.graph.settings;
    const isOptionsOnly = isRecord(given) && request.fileName !== undefined && !namesContent(drivers, given);
    if (given !== undefined && !isOptionsOnly) {
      this.#backingOverridden ||= request.name === 'backing';
      return this.#openChild({ ...request, probe: request.probe ?? true }, given);
    }
    if (request.fileName === undefined) return undefined;
    if (request.role === 'cow' && frame.noBacking) return undefined;
    const parent = this.#homeName(driver);
    const resolved = resolveName(parent, request.fileName);
    assertReferenceAllowed(frame.graph.settings.references, {
      image: localPath(parent) ?? parent,
      role: request.role === 'cow' ? 'backing file' : request.name,
      name: request.fileName,
      resolved,
    });
    const said = isOptionsOnly ? given.driver : undefined;
    const found = this.#specFor(typeof said === 'string' ? { ...request, driver: said } : request, parent, resolved);
    return this.#openChild(request, isOptionsOnly ? { ...found, ...given } : found, { image: parent, resolved });
  }

  /** `name` is what `image` refers to. */
  #specFor(request: ChildRequest, image: string, name: string): NodeSpec {
    const { drivers } = this.#graph.settings;
    if (request.probe === false) return protocolSpec(drivers, name);
    try {
      return specFromFileName(drivers, name, request.driver);
    } catch (error) {
      throw referenceError(request, image, asBlockError(error));
    }
  }

  async #openChild(
    request: ChildRequest,
    value: unknown,
    reference?: { image: string; resolved: string },
  ): Promise<Edge | undefined> {
    const node = await this.#childNode(request, value, reference);
    const link = { parent: this.#parent, node, name: request.name, role: request.role };
    try {
      if (this.#failed) throw new BlockError(`opening node '${this.#attempt.name}' has failed already`);
      const edge = this.#graph.attach(link, this.#permissionsFor(request.role));
      if (typeof value !== 'string') edge.follows = { readOnly: request.readOnly };
      this.#edges.push(edge);
      return edge;
    } catch (error) {
      // A node that was named is its owner's to close.
      if (typeof value !== 'string') await this.#graph.closeIfUnused(node).catch(() => undefined);
      throw error;
    }
  }

  async #childNode(
    request: ChildRequest,
    value: unknown,
    reference?: { image: string; resolved: string },
  ): Promise<Node> {
    const { frame } = this.#attempt;
    if (typeof value === 'string') return frame.graph.find(value);
    if (!isRecord(value)) throw new BlockError(`'${request.name}' must be a node name or options`);
    const child: Frame = {
      ...frame,
      inherited: this.#inheritedBy(request),
      plain: request.probe === false,
      ancestors: reference ? this.#lineage(reference) : frame.ancestors,
      ...(reference ? { askedBy: reference.image } : {}),
    };
    const spec = withProtocol(frame.graph.settings.drivers, value as NodeSpec, request.probe === false);
    if (!reference) return frame.open(spec, child);
    try {
      return await frame.open(spec, child);
    } catch (error) {
      throw referenceError(request, reference.image, asBlockError(error));
    }
  }

  #inheritedBy({ role, readOnly }: ChildRequest): InheritedModes {
    return modesForChild(this.#attempt.modes, { role, readOnly, filterAbove: this.#driver?.kind === 'filter' });
  }

  #lineage(reference: { image: string; resolved: string }): readonly string[] {
    const { ancestors } = this.#attempt.frame;
    const image = realName(reference.image);
    const chain = [...ancestors, image];
    // The image itself is looked for too: one reached through a json: name shows what it is only now.
    if (ancestors.includes(image) || chain.includes(realName(reference.resolved))) {
      throw new BlockError(
        `the backing chain of '${chain[0]}' loops: '${reference.image}' leads back to '${reference.resolved}'`,
        { code: 'ELOOP' },
      );
    }
    if (chain.length >= MAX_DEPTH) {
      throw new BlockError(`the backing chain of '${chain[0]}' is longer than ${MAX_DEPTH} images`, { code: 'ELOOP' });
    }
    return chain;
  }
}

/** A plain file name is for the driver to read, since it is none of its options. */
function readsNames(driver: Driver): boolean {
  return driver.parseFileName !== undefined && !('filename' in fieldsOf(driver.options));
}

/** Says which image asked for what could not be opened; of a long chain only the image nearest to the failure. */
function referenceError(request: ChildRequest, image: string, cause: BlockError): BlockError {
  if (cause.data?.referencedBy !== undefined) return cause;
  const name = request.role === 'cow' ? 'backing file' : request.name;
  return reworded(`could not open ${name} of '${image}': ${cause.message}`, cause, { referencedBy: image });
}

export function realName(name: string): string {
  const path = localPath(name);
  if (path === undefined) return name;
  try {
    return fs.realpathSync(path);
  } catch {
    return path;
  }
}
