import type { X509Certificate } from 'node:crypto';

/**
 * The distinguished name in a certificate, as authorisation rules spell it: `CN=laptop,O=Example,C=GB`, the last part
 * of the certificate first, characters with a meaning escaped (RFC 4514).
 */
export function distinguishedName({ subject }: X509Certificate): string {
  return subject
    .split('\n')
    .filter((part) => part !== '')
    .reverse()
    .join(',');
}
