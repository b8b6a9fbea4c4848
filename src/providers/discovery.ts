import { checkUrl } from '../config/issuers.js'
import { isJsonObject } from '../protocol.js'
import type { Downloader } from './download.js'

/**
 * Finds where an issuer publishes its keys, by its metadata: that of OpenID Connect Discovery 1.0, or else
 * of RFC 8414. The metadata must name the very same issuer (section 4.3 there, 3.3 here).
 * @throws Error that says what is wrong
 */
export async function discoverKeys(
  issuer: string,
  allowHttp: boolean,
  { download }: Pick<Downloader, 'download'>,
): Promise<string> {
  const [first, second] = metadataUrls(issuer)
  const text = await download(first).catch(error => {
    if (isNotFound(error)) return download(second)
    throw error
  })
  const { issuer: named, jwks_uri: url } = parse(text)
  if (named !== issuer)
    throw new Error(
      `the metadata names the issuer ${JSON.stringify(named)}, not ${JSON.stringify(issuer)}: write it as the provider does`,
    )
  if (typeof url !== 'string') throw new Error('the metadata has no jwks_uri')
  checkUrl(url, allowHttp, 'jwks_uri')
  return url
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
    // The same answer as for another value, below.
  }
  throw new Error('the metadata is not a JSON object')
}
