/** What a driver finds wrong with an image in use, for those who watch over it. Offsets and lengths are bytes. */
export type Damage =
  | {
      readonly kind: 'corrupt-image';
      readonly driver: string;
      /** What is wrong, with the name of the image. */
      readonly message: string;
      /** The same without it. */
      readonly what: string;
      /** Where it was to be written or read, as far as that is known. */
      readonly offset?: number;
      readonly length?: number;
      /** The image takes no more writes. */
      readonly fatal: boolean;
    }
  | {
      readonly kind: 'bad-child';
      /** Node of the child that failed, or differs from the others. */
      readonly child: string;
      readonly operation: 'read' | 'write' | 'flush';
      readonly offset: number;
      readonly length: number;
      /** What went wrong; absent where the content differs. */
      readonly error?: string;
    }
  | {
      /** Too few children have succeeded, or agree, for a request of the node itself. */
      readonly kind: 'no-quorum';
      readonly offset: number;
      readonly length: number;
    };

/** The line that tells a user of it, as QEMU's programs have it; undefined for what is told otherwise. */
export function damageLine(damage: Damage): string | undefined {
  if (damage.kind !== 'corrupt-image') return undefined;
  const { driver, what, fatal } = damage;
  return fatal
    ? `${driver}: Marking image as corrupt: ${what}; further corruption events will be suppressed`
    : `${driver}: Image is corrupt: ${what}; further non-fatal corruption events will be suppressed`;
}

export type DamageListener = (nodeName: string, damage: Damage) => void;
