/**
 * Jobs that end together: none is final before all have done their work, and when one fails the others are cancelled. A
 * job by itself is a group of one.
 *
 *     waiting … waiting, the last one ─▶ all pending ─▶ all prepare ─▶ all commit
 *                                                          └ one fails ─▶ all abort
 */
import { asBlockError, type BlockError } from '../errors/block-error.ts';
import type { JobState } from './states.ts';

/** What the group asks of its jobs. */
export interface GroupMember {
  readonly state: JobState;
  readonly autoFinalize: boolean;
  becomePending(): void;
  /** Last step that may fail. */
  prepare(): Promise<void>;
  /** Make the result final, and conclude. */
  commit(): Promise<void>;
  /** Undo, and conclude with this error. */
  fail(error: BlockError): Promise<void>;
  /** Another job of the group has failed. */
  giveUp(): void;
}

export class JobGroup {
  readonly #members = new Set<GroupMember>();
  #finalizing = false;
  #failed = false;

  join(member: GroupMember): void {
    this.#members.add(member);
  }

  /** Too late for cancelling. */
  get finalizing(): boolean {
    return this.#finalizing;
  }

  /** A job has done its work. */
  async arrived(): Promise<void> {
    const members = [...this.#members];
    if (this.#failed || members.some(({ state }) => state !== 'waiting')) return;
    for (const member of members) member.becomePending();
    if (members.every(({ autoFinalize }) => autoFinalize)) await this.finalize();
  }

  /** Make the results of all final. */
  async finalize(): Promise<void> {
    this.#finalizing = true;
    const members = [...this.#members];
    for (const member of members) {
      try {
        await member.prepare();
      } catch (error) {
        this.#finalizing = false;
        return member.fail(asBlockError(error));
      }
    }
    for (const member of members) await member.commit();
  }

  /** A job fails, or is cancelled: so are the others. */
  failed(member: GroupMember): void {
    if (this.#failed || this.#finalizing) return;
    this.#failed = true;
    for (const other of this.#members) if (other !== member) other.giveUp();
  }
}
