import {
  bearerKey,
  InvalidValue,
  isWeak,
  MisspeltValue,
  readText,
  signingSecret,
  withoutNewline,
} from './value-types.js'

/**
 * Reads the secret in a file, without one trailing newline.
 * @throws InvalidValue with the path
 */
export function readSecretFile(file: string): string {
  const text = readText(file)
  try {
    return signingSecret.parse(withoutNewline(text))
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error
    const remedy = error instanceof MisspeltValue ? '' : `. Generate one: openssl rand -base64 48 > ${file}`
    throw new InvalidValue(`the secret in ${file} ${error.message}${remedy}`)
  }
}

/**
 * Reads the admin key in a file, without one trailing newline.
 * @throws InvalidValue with the path
 */
export function readAdminKey(file: string): string {
  try {
    return bearerKey.parse(withoutNewline(readText(file)))
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error
    throw new InvalidValue(`the key in ${file} ${error.message}`)
  }
}

/**
 * Returns the secret that was in a file, unless it is weak and this is production, which a start
 * refuses as well.
 * @throws InvalidValue with the path
 */
export function strongEnough(
  { production }: { readonly production: boolean },
  secret: string,
  file: string,
): string {
  if (production && isWeak(secret))
    throw new InvalidValue(`the secret in ${file} is weak: it has too few different characters`)
  return secret
}
