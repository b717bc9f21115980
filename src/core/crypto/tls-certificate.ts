/** What in a folder of certificates would make every handshake fail, said when they are read. */
import { X509Certificate } from 'node:crypto';
import { BlockError } from '../errors/block-error.ts';
import type { TlsEndpoint } from './tls-credentials.ts';

export interface CertificateFiles {
  readonly dir: string;
  readonly what: string;
  readonly endpoint: TlsEndpoint;
  readonly ca: Buffer;
  readonly cert: Buffer | undefined;
}

const PEM = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[\s\S]*?-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g;

/** Object identifiers of the purposes of a certificate, by the end that uses it. */
const PURPOSES: Readonly<Record<TlsEndpoint, string>> = {
  client: '1.3.6.1.5.5.7.3.2',
  server: '1.3.6.1.5.5.7.3.1',
};
const ANY_PURPOSE = '2.5.29.37.0';

/** @throws BlockError that names the file and what is wrong with it. */
export function checkCertificates({ dir, what, endpoint, ca, cert }: CertificateFiles): void {
  const complain = (file: string, why: string): never => {
    throw new BlockError(`${what}: '${dir}/${file}' ${why}`);
  };
  const authorities = parse(ca) ?? complain('ca-cert.pem', 'holds no certificate');
  for (const each of authorities) {
    checkDates(each, (why) => complain('ca-cert.pem', why));
    if (!each.ca) complain('ca-cert.pem', `holds a certificate that is no authority's (${oneLine(each.subject)})`);
  }
  if (!cert) return;
  const file = `${endpoint}-cert.pem`;
  const own = parse(cert)?.[0] ?? complain(file, 'holds no certificate');
  checkDates(own, (why) => complain(file, why));
  if (own.ca) complain(file, "holds an authority's certificate, which is not for a connection");
  // What keyUsage of Node holds are the purposes of the extended kind.
  const purposes: readonly string[] = own.keyUsage ?? [];
  if (purposes.length > 0 && !purposes.includes(PURPOSES[endpoint]) && !purposes.includes(ANY_PURPOSE)) {
    complain(file, `holds a certificate that is not for a ${endpoint}`);
  }
  const chain = [...(parse(cert)?.slice(1) ?? []), ...authorities];
  if (!chain.some((issuer) => own.checkIssued(issuer) && own.verify(issuer.publicKey))) {
    complain(file, 'holds a certificate that none of ca-cert.pem has signed');
  }
}

function parse(pem: Buffer): [X509Certificate, ...X509Certificate[]] | undefined {
  try {
    const [first, ...rest] = [...pem.toString('latin1').matchAll(PEM)].map(([text]) => new X509Certificate(text));
    return first && [first, ...rest];
  } catch {
    return undefined;
  }
}

function checkDates(certificate: X509Certificate, complain: (why: string) => never): void {
  const now = Date.now();
  if (Date.parse(certificate.validTo) < now) complain(`has expired (${certificate.validTo})`);
  if (Date.parse(certificate.validFrom) > now) complain(`is not valid yet (from ${certificate.validFrom} on)`);
}

function oneLine(subject: string): string {
  return subject.split('\n').join(',');
}
