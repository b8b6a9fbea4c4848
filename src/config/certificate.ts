import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'

const byteOrderMark = Buffer.from('\uFEFF')

/** The curves that both clients and BoringSSL, the TLS of uWebSockets.js, support. */
const curves: ReadonlySet<string | undefined> = new Set(['prime256v1', 'secp384r1', 'secp521r1'])

/**
 * Returns why a certificate chain and its private key, in PEM, cannot be served, or undefined if
 * they can. Stricter than Node's own TLS, which accepts files that uWebSockets.js then rejects
 * without a reason.
 */
export function certificateFault(chain: Buffer, key: Buffer): string | undefined {
  for (const [name, bytes] of Object.entries({ certificate: chain, key }))
    if (bytes.subarray(0, byteOrderMark.length).equals(byteOrderMark))
      return `the ${name} file begins with a byte order mark: save it as UTF-8 without one`
  // Node also accepts DER.
  const certificate = chain.includes('-----BEGIN ') ? parsed(() => new X509Certificate(chain)) : undefined
  if (certificate === undefined) return 'the first is not a certificate: give a certificate chain in PEM'
  const privateKey = parsed(() => createPrivateKey(key))
  if (privateKey === undefined)
    return 'the second is not a readable private key: give one in PEM, without passphrase'
  const kind = keyKind(privateKey)
  if (!kind.isSupported)
    return `keys of type ${kind.name} are not supported: use one of RSA, P-256, P-384, P-521 or Ed25519`
  if (!certificate.checkPrivateKey(privateKey))
    return 'the key does not match the certificate: give files that belong together'
  try {
    createSecureContext({ cert: chain, key })
    return undefined
  } catch (error) {
    return `TLS cannot use them (${error instanceof Error ? error.message : 'unknown error'})`
  }
}

function keyKind({ asymmetricKeyType: type, asymmetricKeyDetails }: KeyObject) {
  const curve = asymmetricKeyDetails?.namedCurve
  if (type === 'ec')
    return { name: `EC (${curve ?? 'a curve by its parameters'})`, isSupported: curves.has(curve) }
  return { name: type ?? 'unknown', isSupported: type === 'rsa' || type === 'ed25519' }
}

function parsed<T>(parse: () => T): T | undefined {
  try {
    return parse()
  } catch {
    return undefined
  }
}
