import type { X509Certificate } from 'node:crypto';

/**
 * The distinguished name in a certificate, as authorisation rules spell it: `C=GB,O=Example,CN=laptop`, in the order of
 * the certificate, characters with a meaning escaped (RFC 4514). Rules that are written for qemu-nbd hold here too.
 */
export function distinguishedName({ subject }: X509Certificate): string {
  return subject
    .split('\n')
    .filter((part) => part !== '')
    .join(',');
}
