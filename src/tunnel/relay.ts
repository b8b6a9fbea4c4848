import type { ClientRequest, IncomingMessage } from 'node:http'
import WebSocket from 'ws'
import { retryAfterReason, tunnelCloseCode } from '../protocol.js'
import { closeWith, isOpen } from '../socket/closing.js'
import type { Socket, TunnelEnd } from '../socket/session.js'
import type { CloseReason } from '../telemetry/metrics.js'
import type { Tunnel } from './tunnel.js'
import type { UpstreamRequest } from './upstream-request.js'

const dialTimeoutMs = 10_000
const closeTimeoutMs = 5000
const keepAliveMs = 30_000

// RFC 6455 section 7.1.5: a close without a code, and one without a close frame.
const noCode = 1005
const lostCode = 1006

// Approximate memory of a waiting frame, besides its bytes.
const frameOverheadBytes = 128

/** What a client has sent before the upstream server accepted the connection. */
interface EarlyFrame {
  readonly bytes: Buffer
  readonly isBinary: boolean
}

/** One socket of a client and its upstream socket, from the 101 until both have ended. */
export class Relay implements TunnelEnd {
  readonly #tunnel: Tunnel
  /**
   * Undefined once the connection was accepted, because it takes more memory than everything else
   * here.
   */
  #request: UpstreamRequest | undefined
  /** The subprotocol that was selected for the client. */
  readonly #protocol: string
  /** Undefined once it is closed: uWS sockets must not be used after that. */
  #client: Socket | undefined
  #upstream: WebSocket | undefined
  #early: EarlyFrame[] = []
  #earlyBytes = 0
  /** How the client closed, if it did before the upstream server accepted the connection. */
  #end: { readonly code: number; readonly reason: string } | undefined
  /** Whether the upstream server has accepted the connection. */
  #isConnected = false
  #hasAnswered = false
  #isPaused = false

  constructor(tunnel: Tunnel, request: UpstreamRequest, protocol: string) {
    this.#tunnel = tunnel
    this.#request = request
    this.#protocol = protocol
  }

  get name(): string {
    return this.#tunnel.name
  }

  /**
   * Connects to the upstream server, now that the ticket is spent and the client has its 101.
   * @throws if the request cannot be sent; then nothing has started
   */
  open(ws: Socket): void {
    if (this.#request === undefined) return
    const { target, url, protocols, headers, assert } = this.#request
    const upstream = new WebSocket(url, [...protocols], {
      headers: { ...headers, ...assert() },
      ...target.tls,
      handshakeTimeout: dialTimeoutMs,
      closeTimeout: closeTimeoutMs,
      maxPayload: this.#tunnel.maxUpstreamBytes,
      perMessageDeflate: false,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMs,
      generateMask: this.#tunnel.writeMask,
      finishRequest: (request: ClientRequest) => this.#finish(request),
    } as WebSocket.ClientOptions)
    this.#client = ws
    this.#upstream = upstream
    this.#tunnel.opened(this)
    upstream.on('upgrade', response => this.#upgraded(response))
    upstream.on('unexpected-response', (_, response) => this.#refused(response.statusCode ?? 0))
    upstream.on('open', () => this.#connected())
    upstream.on('message', (data: Buffer, isBinary) => this.#received(data, isBinary))
    upstream.on('error', error => this.#failed(error))
    upstream.on('close', (code, reason) => this.#upstreamClosed(code, reason))
  }

  /** Relays a message of the client. Its bytes are only valid during the call. */
  send(bytes: ArrayBuffer, isBinary: boolean): void {
    const ws = this.#client
    const upstream = this.#upstream
    if (ws === undefined || upstream === undefined) return
    if (upstream.readyState === WebSocket.CONNECTING) return this.#keep(ws, bytes, isBinary)
    this.#tunnel.countFromClient()
    upstream.send(Buffer.from(bytes), { binary: isBinary })
    if (upstream.bufferedAmount > this.#tunnel.maxBufferedBytes) this.#endSlow(ws)
  }

  /** The client has read some of what was waiting for it. */
  drained(ws: Socket): void {
    if (!this.#isPaused || ws.getBufferedAmount() > this.#tunnel.maxBufferedBytes / 2) return
    this.#isPaused = false
    this.#upstream?.resume()
  }

  /** The client's socket is closed, by the client or by us. */
  clientClosed(code: number, reason: string, byClient: boolean): void {
    if (this.#client === undefined) return
    this.#client = undefined
    this.#tunnel.closed()
    const upstream = this.#upstream
    if (upstream === undefined) return
    if (upstream.readyState !== WebSocket.CONNECTING) return this.#closeUpstream(code, reason)
    // Messages that it sent before it left are still delivered, unless the gate closed its socket.
    if (byClient && code !== lostCode && this.#early.length > 0) this.#end = { code, reason }
    else upstream.terminate()
  }

  /** Destroys the upstream socket at once. */
  terminate(): void {
    this.#upstream?.terminate()
  }

  #finish(request: ClientRequest): void {
    const connected = this.#request?.url.protocol === 'wss:' ? 'secureConnect' : 'connect'
    request.once('socket', socket =>
      socket.once(connected, () => {
        this.#isConnected = true
      }),
    )
    request.end()
  }

  #keep(ws: Socket, bytes: ArrayBuffer, isBinary: boolean): void {
    this.#earlyBytes += bytes.byteLength + frameOverheadBytes
    if (this.#earlyBytes > this.#tunnel.maxBufferedBytes) return this.#endSlow(ws)
    this.#early.push({ bytes: Buffer.from(new Uint8Array(bytes)), isBinary })
  }

  /** The upstream server has accepted the handshake; `ws` has not checked its response yet. */
  #upgraded({ headers }: IncomingMessage): void {
    this.#answered()
    const chosen = headers['sec-websocket-protocol'] ?? ''
    if (chosen === '') {
      // Servers that ignore subprotocols select none, which `ws` would refuse.
      const first = this.#request?.protocols[0]
      if (first !== undefined) headers['sec-websocket-protocol'] = first
    } else if (chosen !== this.#protocol) {
      this.#tunnel.log(
        'warn',
        'the upstream server has selected a subprotocol that the client was not told',
        {
          chosen: chosen.slice(0, 64),
          told: this.#protocol,
        },
      )
      this.#endClient('upstream_failed', tunnelCloseCode.protocolError, 'subprotocol_mismatch')
      this.#upstream?.terminate()
    }
  }

  #answered(): void {
    this.#hasAnswered = true
    this.#tunnel.upstream.reached()
  }

  #refused(status: number): void {
    this.#answered()
    this.#tunnel.log('warn', 'the upstream server refused a handshake', { status })
    this.#endFailed()
    this.#upstream?.terminate()
  }

  #connected(): void {
    const upstream = this.#upstream
    if (upstream === undefined) return
    this.#request = undefined
    for (const { bytes, isBinary } of this.#early) {
      this.#tunnel.countFromClient()
      upstream.send(bytes, { binary: isBinary })
    }
    this.#early = []
    if (this.#end !== undefined) this.#closeUpstream(this.#end.code, this.#end.reason)
  }

  #received(data: Buffer, isBinary: boolean): void {
    const ws = this.#client
    if (ws === undefined || !isOpen(ws)) return
    this.#tunnel.countToClient()
    const isSent = ws.send(data, isBinary, this.#tunnel.compresses(data.length)) === 1
    if (isSent || !isOpen(ws) || this.#isPaused) return
    if (ws.getBufferedAmount() <= this.#tunnel.maxBufferedBytes) return
    this.#isPaused = true
    this.#tunnel.countPause()
    this.#upstream?.pause()
  }

  /** `close` follows, but perhaps only after the upstream server has closed its side as well. */
  #failed(error: Error): void {
    if (this.#client === undefined) return
    const reason = 'code' in error ? String(error.code) : error.message
    if (!this.#hasAnswered) this.#tunnel.countFailedDial()
    // It may have hung up on this client only, so it does not count as down for the others.
    if (!this.#isConnected) this.#tunnel.upstream.failed(reason)
    else if (isOpen(this.#client))
      this.#tunnel.log('warn', 'the connection to the upstream server was lost', { reason })
    this.#endFailed()
  }

  #upstreamClosed(code: number, reason: Buffer): void {
    this.#tunnel.gone(this)
    if (code === lostCode) this.#endFailed()
    else this.#endClient('upstream_closed', code === noCode ? 0 : code, reason.toString())
    this.#upstream = undefined
  }

  #endFailed(): void {
    this.#endClient(
      'upstream_failed',
      tunnelCloseCode.badGateway,
      retryAfterReason(this.#tunnel.retryAfterMs()),
    )
  }

  #endSlow(ws: Socket): void {
    closeWith(
      ws,
      'upstream_slow',
      tunnelCloseCode.tryAgainLater,
      retryAfterReason(this.#tunnel.retryAfterMs()),
    )
  }

  #endClient(reason: CloseReason, code: number, text: string): void {
    if (this.#client !== undefined) closeWith(this.#client, reason, code, text)
  }

  /** Closes the upstream side in the same way as the client's side. */
  #closeUpstream(code: number, reason: string): void {
    const upstream = this.#upstream
    if (upstream === undefined) return
    // A close frame would wait behind everything that a slow server has not read.
    const isStuck = code === tunnelCloseCode.tryAgainLater || code === tunnelCloseCode.badGateway
    if (code === lostCode || isStuck) return upstream.terminate()
    if (this.#isPaused) upstream.resume()
    if (code === noCode || code === 0) upstream.close()
    else upstream.close(code, reason)
  }
}

/** The relay of a socket, if it belongs to a tunnel. */
export const relayOf = (ws: Socket): Relay | undefined => {
  const { tunnel } = ws.getUserData().session
  return tunnel instanceof Relay ? tunnel : undefined
}
