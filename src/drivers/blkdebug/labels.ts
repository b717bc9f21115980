/** Requests by name: which labels there are, and which request takes which. */
import type { BlockEvent } from '../../core/block/events.ts';
import type {
  HoldPoint,
  LabelCapability,
  LabelMatch,
  LabelState,
  RequestKind,
} from '../../core/block/fault-control.ts';
import { BlockError, type ErrorCode } from '../../core/errors/block-error.ts';
import { Label, type LabelNews } from './label.ts';

export class Labels implements LabelCapability {
  readonly #labels = new Map<string, Label>();
  readonly #listeners = new Set<LabelNews>();
  /** Armed labels in the order in which they were armed. */
  #armed: Label[] = [];
  #closed = false;

  /** No request can take a label now. */
  get idle(): boolean {
    return this.#armed.length === 0;
  }

  concerns(kind: RequestKind): boolean {
    return this.#armed.some((label) => label.wants(kind));
  }

  announce(event: BlockEvent): void {
    for (const label of this.#armed) label.announce(event);
  }

  /** The label of a request that arrives; undefined for none. */
  claim(kind: RequestKind, offset: number, length: number): Label | undefined {
    const found = this.#armed.find((label) => label.fits(kind, offset, length));
    if (!found) return undefined;
    this.#armed = this.#armed.filter((label) => label !== found);
    found.take();
    return found;
  }

  arm(name: string, match: LabelMatch = {}): void {
    const label = this.#get(name);
    if (label.state === 'armed' || label.underWay) {
      throw new BlockError(`label '${name}' is in use by a request that has not completed`, { code: 'EEXIST' });
    }
    this.#arm(label, match);
  }

  #arm(label: Label, match: LabelMatch): void {
    label.arm(match);
    this.#armed.push(label);
  }

  disarm(name: string): void {
    const label = this.#labels.get(name);
    if (!label || label.underWay) return;
    this.#labels.delete(name);
    this.#armed = this.#armed.filter((each) => each !== label);
    label.abandon();
  }

  hold(name: string, point: HoldPoint = 'arrival'): void {
    this.#get(name).hold(point);
  }

  release(name: string): void {
    this.#find(name).release();
  }

  fail(name: string, code: ErrorCode): void {
    this.#get(name).fail(code);
  }

  wait(name: string, until: 'arrived' | 'done'): Promise<void> {
    const label = this.#labels.get(name);
    return label ? label.wait(until) : Promise.reject(unknown(name));
  }

  state(name: string): LabelState | undefined {
    return this.#labels.get(name)?.state;
  }

  list(): readonly { readonly name: string; readonly state: LabelState }[] {
    return [...this.#labels.values()].map(({ name, state }) => ({ name, state }));
  }

  listen(listener: LabelNews): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  letGo(): void {
    this.#closed = true;
    this.#armed = [];
    for (const label of this.#labels.values()) label.abandon();
  }

  #get(name: string): Label {
    const there = this.#labels.get(name);
    if (there) return there;
    const label = new Label(name, {
      news: (what, who) => {
        for (const listener of this.#listeners) listener(what, who);
      },
      again: (done, match) => {
        if (!this.#closed) this.#arm(done, match);
      },
    });
    this.#labels.set(name, label);
    return label;
  }

  #find(name: string): Label {
    const label = this.#labels.get(name);
    if (!label) throw unknown(name);
    return label;
  }
}

function unknown(name: string): BlockError {
  return new BlockError(`there is no label '${name}'`, { code: 'ENOENT' });
}
