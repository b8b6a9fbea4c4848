import { checkUrl } from '../config/issuers.js'
import { isJsonObject } from '../protocol.js'
import type { Downloader } from './download.js'

/**
 * The URL of an issuer's keys, and how long that is valid, in milliseconds, if the issuer says so.
 */
export interface DiscoveredKeys {
  readonly url: string
  readonly freshForMs: number | undefined
}

/**
 * Finds the keys of an issuer, from its metadata under OpenID Connect Discovery 1.0, or else under
 * RFC 8414. The metadata must name the same issuer (section 4.3 of the former, 3.3 of the latter).
 * @throws Error that says what is wrong
 */
export async function discoverKeys(
  issuer: string,
  allowHttp: boolean,
  downloader: Pick<Downloader, 'download'>,
): Promise<DiscoveredKeys> {
  const [first, second] = metadataUrls(issuer)
  const { text, freshForMs } = await downloader.download(first).catch(error => {
    if (isNotFound(error)) return downloader.download(second)
    throw error
  })
  const { issuer: named, jwks_uri: url } = parse(text)
  if (named !== issuer)
    throw new Error(
      `the metadata names the issuer ${JSON.stringify(named)}, not ${JSON.stringify(issuer)}: write it as the provider does`,
    )
  if (typeof url !== 'string') throw new Error('the metadata has no jwks_uri')
  checkUrl(url, allowHttp, 'jwks_uri')
  return { url, freshForMs }
}

const metadataUrls = (issuer: string): readonly [string, string] => {
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, '')
  return [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ]
}

const isNotFound = (error: unknown): boolean => error instanceof Error && error.message === 'status 404'

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    if (isJsonObject(value)) return value
  } catch {
    // As for any other value.
  }
  throw new Error('the metadata is not a JSON object')
}
