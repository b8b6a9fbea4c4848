/**
 * The suites of TLS 1.2 at the edge: forward secret and AEAD only (RFC 9325 section 4.2), for
 * certificates on RSA and on ECDSA. Every client of the last ten years has one of them. Those of
 * TLS 1.3 are all of that kind, and the engine offers nothing older than 1.2.
 */
export const tls12Suites = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')
