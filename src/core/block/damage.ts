/** What a driver finds wrong with an image in use, for those who watch over it. Offsets and lengths are bytes. */
export type Damage =
  | {
      readonly kind: 'corrupt-image';
      readonly message: string;
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
    };

export type DamageListener = (nodeName: string, damage: Damage) => void;
