import type { HttpRequest, HttpResponse } from 'uWebSockets.js'
import { Refusal } from '../errors.js'
import { type Address, normalize } from '../ticket/address.js'
import type { TrustedProxies } from './address.js'
import { fieldValues } from './request.js'

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

// The nearest proxy wrote the last entry; the client may have written the others.
const lastOf = (values: readonly string[]): string => {
  const list = values.join(',')
  return list.slice(list.lastIndexOf(',') + 1).trim()
}
