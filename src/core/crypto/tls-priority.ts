/**
 * Priority strings of GnuTLS, as far as OpenSSL below Node can do the same: versions of the protocol, and how strong
 * the ciphers must be. What has no counterpart is an error, since a connection weaker than asked for is none.
 */
import { NotSupported } from '../errors/block-error.ts';

type Version = 'TLSv1.2' | 'TLSv1.3';

export interface TlsPriority {
  readonly minVersion: Version;
  readonly maxVersion: Version;
  /** Minimum strength as OpenSSL counts it; undefined for its default. */
  readonly securityLevel: number | undefined;
}

/** First words, with the strength in bits as a security level: 3 is 128 bits, 4 is 192, 5 is 256. */
const LEVELS: Readonly<Record<string, number | undefined>> = {
  NORMAL: undefined,
  '@SYSTEM': undefined,
  PERFORMANCE: undefined,
  PFS: undefined,
  SECURE128: 3,
  SECURE192: 4,
  SECURE256: 5,
};

/** Words that change nothing here: key exchanges are chosen by the kind of credentials. */
const HARMLESS = new Set(['%SERVER_PRECEDENCE', '%SAFE_RENEGOTIATION', '%DISABLE_SAFE_RENEGOTIATION', '%COMPAT']);
const KEY_EXCHANGE = /^\+(ECDHE-PSK|DHE-PSK|PSK|ANON-DH|ANON-ECDH|ECDHE-RSA|ECDHE-ECDSA|DHE-RSA|RSA)$/;
const VERSION = /^([+-])VERS-(ALL|TLS-ALL|TLS1\.0|TLS1\.1|TLS1\.2|TLS1\.3|SSL3\.0)$/;
const KNOWN: Readonly<Record<string, Version>> = { 'TLS1.2': 'TLSv1.2', 'TLS1.3': 'TLSv1.3' };
const VERSIONS: readonly Version[] = ['TLSv1.2', 'TLSv1.3'];

/** @throws NotSupported that names the first word that cannot be followed. */
export function readPriority(priority: string | undefined, what: string): TlsPriority {
  const [first = 'NORMAL', ...rest] = priority === undefined ? [] : priority.split(':').filter((word) => word !== '');
  if (!Object.hasOwn(LEVELS, first)) throw unknown(first, what);
  const versions = new Set<Version>(VERSIONS);
  for (const word of rest) {
    const [, sign, name = ''] = VERSION.exec(word) ?? [];
    if (sign === undefined) {
      if (!HARMLESS.has(word) && !KEY_EXCHANGE.test(word)) throw unknown(word, what);
      continue;
    }
    const meant = name.endsWith('ALL') ? VERSIONS : Object.hasOwn(KNOWN, name) ? [KNOWN[name]] : [];
    if (sign === '+' && meant.length === 0) throw unknown(word, what);
    for (const version of meant) {
      if (version === undefined) continue;
      if (sign === '+') versions.add(version);
      else versions.delete(version);
    }
  }
  const chosen = VERSIONS.filter((version) => versions.has(version));
  const [minVersion] = chosen;
  const maxVersion = chosen.at(-1);
  if (minVersion === undefined || maxVersion === undefined) {
    throw new NotSupported(`priority '${priority}' of ${what} leaves neither TLS 1.2 nor TLS 1.3`);
  }
  return { minVersion, maxVersion, securityLevel: LEVELS[first] };
}

function unknown(word: string, what: string): NotSupported {
  return new NotSupported(`priority of ${what}: '${word}' is not supported`, {
    hint: 'NORMAL, SECURE128, SECURE192 and SECURE256 are, with versions such as -VERS-TLS1.3',
  });
}

/** Ciphers with the strength in front of them. */
export function withLevel(ciphers: string, { securityLevel }: TlsPriority): string {
  return securityLevel === undefined ? ciphers : `${ciphers}:@SECLEVEL=${securityLevel}`;
}
