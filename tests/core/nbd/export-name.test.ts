import { expect, test } from 'vitest';
import { parseExportName } from '../../../src/core/nbd/export-name.ts';

test.each(['tls-type=x509', 'tls-verify-peer=0', 'tls-certificates=/etc/pki', 'tls-psk-file=keys', 'tls-username=me'])(
  'a URI that says %s is told where credentials are named',
  (parameter) => {
    expect(() => parseExportName(`nbds://host/disk?${parameter}`)).toThrow(/--object tls-creds-/);
  },
);

test('another parameter is named', () => {
  expect(() => parseExportName('nbds://host/disk?tls-key=x')).toThrow(/there is no parameter 'tls-key'/);
});
