import { readFileSync } from 'node:fs'
import { connect as connectPlain, isIP, type Socket, type TcpNetConnectOpts } from 'node:net'
import { connect as connectSecurely, createSecureContext, type SecureContext } from 'node:tls'
import type { TunnelRoute } from '../config/tunnels.js'

/** What the certificate of an upstream server is checked against. */
export interface TargetTls {
  /** The name in SNI and in the certificate; '' for an address, which has no SNI (RFC 6066). */
  readonly servername: string
  readonly secureContext?: SecureContext
}

/** How the connection is opened and read. */
export type ConnectOptions = Pick<
  TcpNetConnectOpts,
  'noDelay' | 'keepAlive' | 'keepAliveInitialDelay' | 'onread'
>

/** The address of an upstream server, and the host name to use. */
export class UpstreamTarget {
  readonly url: URL
  /** The header `Host`; undefined for that of the URL. */
  readonly host: string | undefined
  /** Undefined without TLS. */
  readonly tls: TargetTls | undefined

  constructor({ url, host, caFile }: Pick<TunnelRoute, 'url' | 'host' | 'caFile'>) {
    this.url = new URL(url)
    this.host = host
    if (this.url.protocol !== 'wss:') return
    const name = host === undefined ? this.#address : host.replace(/:\d+$/, '')
    const servername = isIP(name) > 0 ? '' : name
    this.tls =
      caFile === undefined
        ? { servername }
        : { servername, secureContext: createSecureContext({ ca: readFileSync(caFile) }) }
  }

  /** The path at the server. In the URL of a Unix socket, it follows the colon. */
  pathIn({ protocol, pathname }: URL): string {
    return protocol === 'ws+unix:' ? pathname.slice(pathname.indexOf(':') + 1) : pathname
  }

  /** Opens the connection, without a WebSocket handshake. */
  connect(onConnect: () => void, options: ConnectOptions = {}): Socket {
    const { protocol, port, pathname } = this.url
    if (protocol === 'ws+unix:')
      return connectPlain({ ...options, path: pathname.replace(/:.*$/, '') }, onConnect)
    const host = this.#address
    return this.tls === undefined
      ? connectPlain({ ...options, host, port: Number(port || 80) }, onConnect)
      : connectSecurely({ ...options, host, port: Number(port || 443), ...this.tls }, onConnect)
  }

  get #address(): string {
    return this.url.hostname.replace(/^\[|\]$/g, '')
  }
}
