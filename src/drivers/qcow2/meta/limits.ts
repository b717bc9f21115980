/** What this driver accepts from an image. A larger value in a header is refused before memory is taken for it. */
export const Limit = {
  MIN_CLUSTER_BITS: 9,
  MAX_CLUSTER_BITS: 21,
  /** Extended L2 entries need subclusters of at least 512 bytes: 32 of them. */
  MIN_CLUSTER_BITS_EXTENDED: 14,
  MAX_REFCOUNT_ORDER: 6,
  /** Bytes of the active L1 table and of each snapshot's. */
  MAX_L1_BYTES: 32 * 1024 * 1024,
  MAX_REFCOUNT_TABLE_BYTES: 8 * 1024 * 1024,
  MAX_SNAPSHOTS: 65536,
  MAX_SNAPSHOT_TABLE_BYTES: 64 * 1024 * 1024,
  MAX_SNAPSHOT_EXTRA_BYTES: 1024,
  MAX_BITMAPS: 65535,
  MAX_BITMAP_DIRECTORY_BYTES: 65535 * 1024,
  MAX_BITMAP_NAME_BYTES: 1023,
  /** The bits of one bitmap, in whole clusters, and the entries of its table. */
  MAX_BITMAP_BYTES: 512 * 1024 * 1024,
  MAX_BITMAP_TABLE_ENTRIES: 0x8000000,
  MIN_BITMAP_GRANULARITY_BITS: 9,
  MAX_BITMAP_GRANULARITY_BITS: 31,
  /** Far more than any LUKS header takes: eight keys of 4000 stripes are 2 MiB. */
  MAX_ENCRYPTION_HEADER_BYTES: 64 * 1024 * 1024,
  MAX_BACKING_NAME_BYTES: 1023,
  /** Host offsets have 56 bits in the format; what goes through a number has 53. */
  MAX_HOST_OFFSET: Number.MAX_SAFE_INTEGER,
  MAX_DISK_SIZE: Number.MAX_SAFE_INTEGER,
} as const;
