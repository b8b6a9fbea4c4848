import type { HttpRequest, HttpResponse } from 'uWebSockets.js'
import { Refusal } from '../errors.js'
import { type Address, normalize } from '../ticket/address.js'
import type { TrustedProxies } from './address.js'

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

/** What the connection and trusted proxies say of the client. Call it before the handler returns. */
export interface ClientView {
  address(res: HttpResponse, req: HttpRequest): Address
  /** Our scheme, host and port as the client sees them, serialised as an origin; '' when unknown. */
  ownOrigin(res: HttpResponse, req: HttpRequest): string
}

export interface ClientViewOptions {
  readonly proxies: TrustedProxies
  readonly publicUrl: string | undefined
  readonly tls: boolean
}

const hostPattern = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/

export function createClientView({ proxies, publicUrl, tls }: ClientViewOptions): ClientView {
  const publicOrigin = publicUrl === undefined ? undefined : new URL(publicUrl).origin

  /** @throws Refusal when there is none: the client has reset the connection, and nobody will read the answer */
  function peerOf(res: HttpResponse): Address {
    const peer = normalize(new Uint8Array(res.getRemoteAddress()).slice())
    if (peer.length === 0) throw new Refusal('bad_request', { detail: 'The connection is gone.' })
    return peer
  }

  return {
    address(res, req) {
      const peer = peerOf(res)
      return proxies.has(peer) ? proxies.clientOf(peer, fieldValues(req, 'x-forwarded-for').join(',')) : peer
    },
    ownOrigin(res, req) {
      if (publicOrigin !== undefined) return publicOrigin
      let scheme = tls ? 'https' : 'http'
      let host = req.getHeader('host')
      if (proxies.has(peerOf(res))) {
        scheme = lastOf(fieldValues(req, 'x-forwarded-proto')) || scheme
        host = lastOf(fieldValues(req, 'x-forwarded-host')) || host
      }
      const url = `${scheme}://${host}`
      return hostPattern.test(host) && /^https?$/.test(scheme) && URL.canParse(url) ? new URL(url).origin : ''
    },
  }
}

/** All lines of a field: `getHeader` knows only the first, and some proxies add theirs as a further line. */
export function fieldValues(req: HttpRequest, field: string): string[] {
  const values: string[] = []
  req.forEach((name, value) => {
    if (name === field) values.push(value)
  })
  return values
}

// The nearest proxy wrote the last entry; the client may have written the others.
const lastOf = (values: readonly string[]): string => {
  const list = values.join(',')
  return list.slice(list.lastIndexOf(',') + 1).trim()
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
