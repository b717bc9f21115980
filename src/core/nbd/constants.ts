/** The numbers of the protocol, each once. */

/** Numbers that open a message. */
export const Magic = {
  /** `NBDMAGIC`: first in every negotiation. */
  INIT: 0x4e42444d41474943n,
  /** `IHAVEOPT`: newstyle negotiation; also before each option. */
  OPTION: 0x49484156454f5054n,
  /** Oldstyle negotiation. */
  OLDSTYLE: 0x0000420281861253n,
  OPTION_REPLY: 0x0003e889045565a9n,
  REQUEST: 0x25609513,
  EXTENDED_REQUEST: 0x21e41c71,
  SIMPLE_REPLY: 0x67446698,
  STRUCTURED_REPLY: 0x668e33ef,
  EXTENDED_REPLY: 0x6e8a278c,
} as const;

/** Handshake flags, 16 bits, sent by the server. */
export const HandshakeFlag = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;

/** Client flags, 32 bits: the answer to the handshake flags. */
export const ClientFlag = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;

/** Transmission flags, 16 bits: what an export can do. */
export const ExportFlag = {
  HAS_FLAGS: 1 << 0,
  READ_ONLY: 1 << 1,
  SEND_FLUSH: 1 << 2,
  SEND_FUA: 1 << 3,
  ROTATIONAL: 1 << 4,
  SEND_TRIM: 1 << 5,
  SEND_WRITE_ZEROES: 1 << 6,
  SEND_DF: 1 << 7,
  CAN_MULTI_CONN: 1 << 8,
  SEND_RESIZE: 1 << 9,
  SEND_CACHE: 1 << 10,
  SEND_FAST_ZERO: 1 << 11,
  BLOCK_STATUS_PAYLOAD: 1 << 12,
} as const;

/** Option types. */
export const Option = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  PEEK_EXPORT: 4,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
  EXTENDED_HEADERS: 11,
} as const;

const REFUSED = 0x8000_0000;

/** Option reply types; those with the top bit are errors. */
export const OptionReply = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: REFUSED + 1,
  ERR_POLICY: REFUSED + 2,
  ERR_INVALID: REFUSED + 3,
  ERR_PLATFORM: REFUSED + 4,
  ERR_TLS_REQD: REFUSED + 5,
  ERR_UNKNOWN: REFUSED + 6,
  ERR_SHUTDOWN: REFUSED + 7,
  ERR_BLOCK_SIZE_REQD: REFUSED + 8,
  ERR_TOO_BIG: REFUSED + 9,
  ERR_EXT_HEADER_REQD: REFUSED + 10,
} as const;

/** Option replies of this type and above are errors. */
export const FIRST_OPTION_ERROR = REFUSED;

/** Information types of INFO and GO. */
export const Info = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

/** Commands of the transmission phase. */
export const Command = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
  RESIZE: 8,
} as const;

/** Command flags, 16 bits. */
export const CommandFlag = {
  FUA: 1 << 0,
  NO_HOLE: 1 << 1,
  DF: 1 << 2,
  REQ_ONE: 1 << 3,
  FAST_ZERO: 1 << 4,
  PAYLOAD_LEN: 1 << 5,
} as const;

/** Flags of structured and extended reply chunks. */
export const ChunkFlag = { DONE: 1 } as const;

/** Types of reply chunks; those with the top bit are errors. */
export const ChunkType = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  BLOCK_STATUS_EXT: 6,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const;

/** Chunks of this type and above are errors. */
export const FIRST_ERROR_CHUNK = 0x8000;

/** Error numbers on the wire. */
export const NbdError = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

export type NbdErrorNumber = (typeof NbdError)[keyof typeof NbdError];

/** Status flags of the context `base:allocation`. */
export const AllocationState = { HOLE: 1, ZERO: 2 } as const;

/** Status flags of the contexts `qemu:dirty-bitmap:…`. */
export const BitmapState = { DIRTY: 1 } as const;

/** Names of metadata contexts; that of a bitmap follows its prefix. */
export const Context = {
  ALLOCATION: 'base:allocation',
  ALLOCATION_DEPTH: 'qemu:allocation-depth',
  BITMAP_PREFIX: 'qemu:dirty-bitmap:',
} as const;

/** Sizes of fixed messages, in bytes. */
export const Size = {
  /** Two magics and the handshake flags. */
  GREETING: 18,
  CLIENT_FLAGS: 4,
  OPTION_HEADER: 16,
  OPTION_REPLY_HEADER: 20,
  /** The answer to EXPORT_NAME, without the zeroes. */
  EXPORT_NAME_REPLY: 10,
  EXPORT_NAME_ZEROES: 124,
  REQUEST: 28,
  EXTENDED_REQUEST: 32,
  SIMPLE_REPLY: 16,
  STRUCTURED_REPLY: 20,
  EXTENDED_REPLY: 32,
} as const;

/** Limits, in bytes unless said otherwise. */
export const Limit = {
  /** "Values": strings, names and descriptions among them. */
  STRING: 4096,
  /** Data of one option; longer ones are not read. */
  OPTION: 32 << 20,
  /** Longest payload of a read or write unless negotiated otherwise ("Size constraints"). */
  PAYLOAD: 32 << 20,
  /** Preferred block size unless negotiated otherwise. */
  PREFERRED_BLOCK: 4096,
  /** Maximum payload size announced where there is no limit. */
  NO_MAXIMUM: 0xffff_ffff,
  /** Extents in one block status chunk: those that fit into 1 MiB. */
  EXTENTS: 131_072,
} as const;

/** What a unix socket may hold of what is sent, in bytes: a few long replies, or data of writes. */
export const SEND_BUFFER = 1 << 20;

/** Where servers listen unless told otherwise. */
export const DEFAULT_PORT = 10_809;
