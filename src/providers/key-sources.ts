import { createPublicKey } from 'node:crypto'
import type { IssuerConfig, KeysConfig } from '../config/issuers.js'
import { readSecretFile } from '../config/secret-file.js'
import { readFile } from '../config/value-types.js'
import { type Algorithm, algorithmNames, algorithmsFor } from '../token/algorithms.js'
import { fixedKeys, type KeySource } from '../token/issuer.js'
import { nameText } from '../token/issuer-name.js'
import { secretKeySet, unnamedKeySet } from '../token/key-set.js'
import { ProviderKeys, type ProviderKeysOptions } from './provider-keys.js'

/** The open keys of an issuer, and what closes them. */
export interface OpenKeys {
  readonly source: KeySource
  close(): void
}

const isSymmetric = (name: Algorithm): boolean => name.startsWith('HS')

/** The algorithms of an issuer: the configured ones, or else all of its kind of keys. */
export const algorithmsOf = ({ algorithms, keys }: IssuerConfig): readonly Algorithm[] =>
  algorithms ?? algorithmNames.filter(name => isSymmetric(name) === (keys.from === 'secrets'))

/**
 * Identifies the keys of an issuer, including the content of their files. Open keys with the same
 * identity are kept when the configuration is reread.
 * @throws InvalidValue if a file cannot be read
 */
export function identityOf(issuer: IssuerConfig): string {
  const { keys } = issuer
  const content = (files: readonly string[]): readonly string[] =>
    files.map(file => readFile(file).toString('base64'))
  const files =
    'files' in keys ? content(keys.files) : content(keys.caFile === undefined ? [] : [keys.caFile])
  return JSON.stringify([keys, algorithmsOf(issuer), files])
}

/** Opens the keys of an issuer. Resolves after the first fetch, whatever its outcome. */
export async function openIssuerKeys(
  issuer: IssuerConfig,
  options: Omit<ProviderKeysOptions, 'name'>,
): Promise<OpenKeys> {
  const { keys } = issuer
  if (!isFetched(keys)) return { source: fixedKeys(readKeys(keys, algorithmsOf(issuer))), close() {} }
  const ca = keys.caFile === undefined ? undefined : readFile(keys.caFile).toString('utf8')
  const location =
    keys.from === 'jwks' ? { url: keys.url, ca } : { issuer: keys.issuer, allowHttp: keys.allowHttp, ca }
  const source = await ProviderKeys.open(location, { ...options, name: nameOf(issuer) })
  return { source, close: () => source.close() }
}

type Fetched = Extract<KeysConfig, { readonly from: 'jwks' | 'discovery' }>

const isFetched = (keys: KeysConfig): keys is Fetched => keys.from === 'jwks' || keys.from === 'discovery'

function readKeys(keys: Exclude<KeysConfig, Fetched>, algorithms: readonly Algorithm[]) {
  if (keys.from === 'secrets') return secretKeySet(keys.files.map(readSecretFile), algorithms)
  return unnamedKeySet(
    keys.files.map(file => {
      const key = createPublicKey(readFile(file))
      return { kid: undefined, key, algorithms: algorithmsFor(key) }
    }),
  )
}

/** The name of an issuer in the log and in `/readyz`. */
export const nameOf = ({ name, keys }: IssuerConfig): string =>
  name !== undefined ? nameText(name) : keys.from === 'jwks' ? new URL(keys.url).origin : 'any issuer'
