import { SSLApp, type TemplatedApp } from 'uWebSockets.js'
import { StartupError } from '../errors.js'

/**
 * The suites of TLS 1.2 at the edge: forward secret and AEAD only (RFC 9325 section 4.2), for
 * certificates on RSA and on ECDSA. Every client of the last ten years has one of them. Those of
 * TLS 1.3 are all of that kind, and the engine offers nothing older than 1.2.
 */
const tls12Suites = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

/** The files of a certificate chain and its key. */
export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
}

/** The files that options name; undefined without TLS. */
export const tlsFilesOf = ({
  tlsCertFile: certFile,
  tlsKeyFile: keyFile,
}: {
  readonly tlsCertFile: string | undefined
  readonly tlsKeyFile: string | undefined
}): TlsFiles | undefined =>
  certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile }

/**
 * A uWS app that speaks TLS with a certificate as its files have it now.
 * @throws StartupError `tls_invalid`: uWS does not say why it refuses files
 */
export function createTlsApp({ certFile, keyFile }: TlsFiles): TemplatedApp {
  try {
    return SSLApp({ cert_file_name: certFile, key_file_name: keyFile, ssl_ciphers: tls12Suites })
  } catch (error) {
    throw new StartupError(
      'tls_invalid',
      `TLS cannot use ${certFile} with ${keyFile}: give a certificate chain and its key in PEM, with a key of RSA, P-256, P-384, P-521 or Ed25519`,
      { cause: error },
    )
  }
}
