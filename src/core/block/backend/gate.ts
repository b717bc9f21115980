/**
 * What requests of a backend have to wait for: a drained graph, limits, and being stopped since one of them failed.
 * Where none of these is there, requests pass by without coming here.
 *
 *     limit ─▶ drained, stopped? ─▶ the request ─▶ failed: report │ ignore │ stop, and again when resumed
 */
import { asBlockError, BlockError } from '../../errors/block-error.ts';
import { type ErrorAction, type ErrorPolicy, errorAction } from '../error-policy.ts';
import type { Direction, ThrottleMember } from '../throttle/group.ts';

/** A request that was wrong in itself: no policy on errors is for it. */
export class InvalidRequest extends BlockError {}

export interface FailedRequest {
  readonly operation: Direction;
  readonly action: ErrorAction;
  readonly error: BlockError;
}

export interface ErrorPolicies {
  readonly read: ErrorPolicy;
  readonly write: ErrorPolicy;
  /** Told of every request that failed. */
  failed?(request: FailedRequest): void;
}

export class Gate {
  /** Requests need not stop here. */
  open = true;
  #quiesced = 0;
  #stopped = false;
  #ended = false;
  #member: ThrottleMember | undefined;
  #policies: ErrorPolicies | undefined;
  #waiting: (() => void)[] = [];

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Something holds back all requests now. */
  get held(): boolean {
    return this.#quiesced > 0 || this.#stopped;
  }

  quiesce(): void {
    this.#quiesced++;
    this.#decide();
  }

  unquiesce(): void {
    this.#quiesced--;
    this.#decide();
  }

  /** Go on after a failure that stopped everything; what failed is tried again. */
  resume(): void {
    this.#stopped = false;
    this.#decide();
  }

  setMember(member: ThrottleMember | undefined): void {
    this.#member?.release();
    this.#member = member;
    this.#decide();
  }

  get policies(): ErrorPolicies | undefined {
    return this.#policies;
  }

  setPolicies(policies: ErrorPolicies | undefined): void {
    this.#policies = policies;
    this.#decide();
  }

  /** Let go of everything that waits; what is stopped fails. */
  end(): void {
    this.#ended = true;
    this.#stopped = false;
    this.setMember(undefined);
  }

  /** Run `action` once it may, and as often as the policies say. */
  async pass<T>(
    operation: Direction | undefined,
    length: number,
    action: () => T | Promise<T>,
  ): Promise<T | undefined> {
    if (operation) await this.#member?.admit(operation, length);
    for (;;) {
      await this.whenRunning();
      try {
        return await action();
      } catch (error) {
        if (this.#failed(operation ?? 'write', error) === 'ignore') return undefined;
      }
    }
  }

  /** Resolves when nothing holds requests back. */
  async whenRunning(): Promise<void> {
    while (this.held) await new Promise<void>((wake) => this.#waiting.push(wake));
  }

  /** Throws where the failure is the user's to see. */
  #failed(operation: Direction, thrown: unknown): 'ignore' | 'again' {
    const error = asBlockError(thrown);
    // What was closed by force does not come back: waiting for it would be for ever.
    if (!this.#policies || this.#ended || error instanceof InvalidRequest || error.code === 'ENOMEDIUM') throw error;
    const action = errorAction(this.#policies[operation], error);
    if (action === 'stop') this.#stopped = true;
    this.#decide();
    this.#policies.failed?.({ operation, action, error });
    if (action === 'report') throw error;
    return action === 'ignore' ? 'ignore' : 'again';
  }

  #decide(): void {
    this.open = !this.held && !this.#member && !this.#policies;
    if (this.held) return;
    const woken = this.#waiting;
    this.#waiting = [];
    for (const wake of woken) wake();
  }
}
