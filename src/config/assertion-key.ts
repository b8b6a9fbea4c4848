import { createPrivateKey, createSecretKey, type KeyObject } from 'node:crypto'
import {
  InvalidValue,
  isWeak,
  type Kind,
  path,
  readText,
  signingSecret,
  withoutNewline,
} from './value-types.js'

/** The key that signs assertions for upstream servers. */
export interface AssertionKey {
  readonly algorithm: 'ES256' | 'HS256'
  readonly key: KeyObject
}

const forms = 'give a P-256 private key in PEM, or a secret of 32 bytes or more'

/**
 * Reads the key in a file: a private key in PEM signs by ES256, any other text by HS256.
 * @throws InvalidValue
 */
export function readAssertionKey(file: string): AssertionKey {
  const text = withoutNewline(readText(file))
  if (!text.includes('-----BEGIN')) {
    signingSecret.parse(text)
    if (isWeak(text)) throw new InvalidValue(`${file} has a secret of few different characters: ${forms}`)
    return { algorithm: 'HS256', key: createSecretKey(text, 'utf8') }
  }
  const key = privateKeyIn(text)
  if (key?.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw new InvalidValue(`${file} has no such key: ${forms}`)
  return { algorithm: 'ES256', key }
}

function privateKeyIn(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem)
  } catch {
    return undefined
  }
}

/** The path of a file with such a key. */
export const assertionKeyFile: Kind<string> = {
  ...path,
  values: 'path of a P-256 key in PEM, or of a secret of 32 bytes or more',
  parse(text) {
    readAssertionKey(path.parse(text))
    return text
  },
}
