/** The response headers that say how long a document may be used. */
export interface CachingHeaders {
  get(name: string): string | null
}

/**
 * How long a document may be used from now on, in milliseconds (RFC 9111 section 4.2). Undefined if
 * its headers do not say; 0 if they cannot be parsed.
 */
export function freshnessOf(headers: CachingHeaders, nowMs: number): number | undefined {
  const lifeMs = lifetimeOf(headers, nowMs)
  return lifeMs === undefined ? undefined : Math.max(0, lifeMs - ageOf(headers))
}

function lifetimeOf(headers: CachingHeaders, nowMs: number): number | undefined {
  const directives = (headers.get('cache-control') ?? '')
    .toLowerCase()
    .split(',')
    .map(each => each.trim())
  if (directives.some(each => /^no-(store|cache)\b/.test(each))) return 0
  const maxAge = directives.find(each => /^max-age\b/.test(each))
  if (maxAge !== undefined) return secondsIn(/^max-age="?(\d+)"?$/.exec(maxAge)?.[1])
  const expires = headers.get('expires')
  if (expires === null) return undefined
  const endMs = Date.parse(expires)
  const dateMs = Date.parse(headers.get('date') ?? '')
  return Number.isNaN(endMs) ? 0 : endMs - (Number.isNaN(dateMs) ? nowMs : dateMs)
}

/** How long it has been in caches. */
const ageOf = (headers: CachingHeaders): number => secondsIn(/^\d+$/.exec(headers.get('age') ?? '')?.[0])

const secondsIn = (digits: string | undefined): number => Number(digits ?? 0) * 1000
