import type { HttpRequest } from 'uWebSockets.js'

/**
 * A plain snapshot of a uWS request, taken before the handler returns: after that uWS's own object is dead.
 * What costs something and is not always needed is read on demand, and only until the handler returns.
 */
export interface RequestHead {
  /** The raw query, without `?`. */
  readonly query: string
  /** '' where there is none. */
  readonly origin: string
  readonly authorization: string
  readonly contentType: string
  readonly body: BodyFraming
}

/** How the request says where its body ends. Ambiguous = differently to different readers: request smuggling. */
export type BodyFraming = 'none' | 'present' | 'ambiguous'

export const takeHead = (req: HttpRequest): RequestHead => {
  const body = framingOf(req)
  return {
    query: queryOf(req),
    origin: req.getHeader('origin'),
    authorization: req.getHeader('authorization'),
    contentType: body === 'none' ? '' : req.getHeader('content-type'),
    body,
  }
}

/** The raw query. uWS answers undefined where there is none, whatever its types say. */
export const queryOf = (req: HttpRequest): string => (req.getQuery() as string | undefined) ?? ''

/**
 * RFC 9112 section 6.3. uWS itself refuses Content-Length beside Transfer-Encoding, but takes the first of several
 * lengths, where a proxy in front may have taken the last.
 */
export function framingOf(req: HttpRequest): BodyFraming {
  const length = req.getHeader('content-length')
  const encoding = req.getHeader('transfer-encoding')
  if (length === '' && encoding === '') return 'none'
  let fields = 0
  req.forEach(name => {
    if (name === 'content-length' || name === 'transfer-encoding') fields++
  })
  if (fields !== 1 || (length !== '' && !/^\d{1,15}$/.test(length))) return 'ambiguous'
  if (encoding !== '' && encoding.toLowerCase() !== 'chunked') return 'ambiguous'
  return encoding !== '' || Number(length) > 0 ? 'present' : 'none'
}

/** All lines of a field: `getHeader` knows only the first, and some proxies add theirs as a further line. */
export function fieldValues(req: HttpRequest, field: string): string[] {
  const values: string[] = []
  req.forEach((name, value) => {
    if (name === field) values.push(value)
  })
  return values
}

/**
 * The raw values of a query parameter, undecoded. A name in percent-encoding is another name: what is read here
 * needs none.
 */
export function queryValues(query: string, name: string): string[] {
  const values: string[] = []
  for (let start = 0; start < query.length; ) {
    const ampersand = query.indexOf('&', start)
    const end = ampersand < 0 ? query.length : ampersand
    if (query.startsWith(name, start)) {
      const after = start + name.length
      if (after === end) values.push('')
      else if (after < end && query[after] === '=') values.push(query.slice(after + 1, end))
    }
    start = end + 1
  }
  return values
}
