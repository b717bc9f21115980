/** What `info` shows of one image, apart from what the graph knows itself. */
export interface ImageInfo {
  readonly clusterSize?: number;
  readonly subclusterSize?: number;
  readonly compressed?: boolean;
  readonly encrypted?: boolean;
  readonly dirty?: boolean;
  readonly snapshots?: readonly SnapshotInfo[];
  /** `format-specific` of the JSON output: type and data as the control socket's schema names them. */
  readonly specific?: { readonly type: string; readonly data: Readonly<Record<string, unknown>> };
  /** Some area is marked compressed, so a plain host offset cannot be given for it. */
  readonly vmStateOffset?: number;
}

export interface SnapshotInfo {
  readonly id: string;
  readonly name: string;
  /** Bytes of saved machine state. */
  readonly vmStateSize: number;
  /** Seconds and nanoseconds since 1970. */
  readonly date: { readonly sec: number; readonly nsec: number };
  readonly vmClock: { readonly sec: number; readonly nsec: number };
  readonly icount?: number;
  /** Bytes of the disk then, where that is known. */
  readonly diskSize?: number;
}
