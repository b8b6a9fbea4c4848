import { meansExhausted } from '../disk/errno.js'
import { retryAfterReason, tunnelCloseCode } from '../protocol.js'
import { closeWith, isOpen } from '../socket/closing.js'
import type { Socket, TunnelEnd } from '../socket/session.js'
import type { CloseReason } from '../telemetry/metrics.js'
import { closeStatus } from './frames.js'
import type { Tunnel } from './tunnel.js'
import type { UpstreamRequest } from './upstream-request.js'
import { type UpstreamListener, UpstreamSocket } from './upstream-socket.js'

// Approximate memory of a waiting frame, besides its bytes.
const frameOverheadBytes = 128

/** What a client has sent before the upstream server accepted the connection. */
interface EarlyFrame {
  readonly bytes: Uint8Array
  readonly isBinary: boolean
}

/** One socket of a client and its upstream socket, from the 101 until both have ended. */
export class Relay implements TunnelEnd, UpstreamListener {
  readonly #tunnel: Tunnel
  /** Undefined once it is sent, because it takes more memory than everything else here. */
  #request: UpstreamRequest | undefined
  /** The subprotocol that was selected for the client. */
  readonly #protocol: string
  /** Undefined once it is closed: uWS sockets must not be used after that. */
  #client: Socket | undefined
  #upstream: UpstreamSocket | undefined
  #early: EarlyFrame[] | undefined
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
    const request = this.#request
    if (request === undefined) return
    const { batch, maxUpstreamBytes: maxMessageBytes, offersCompression } = this.#tunnel
    const parts = { request, listener: this, batch, maxMessageBytes, offersCompression }
    this.#upstream = new UpstreamSocket(parts)
    this.#request = undefined
    this.#client = ws
    this.#tunnel.opened(this)
  }

  /** Relays a message of the client. Its bytes are only valid during the call. */
  send(bytes: ArrayBuffer, isBinary: boolean): void {
    const ws = this.#client
    const upstream = this.#upstream
    if (ws === undefined || upstream === undefined) return
    if (!upstream.isOpen) return this.#keep(ws, bytes, isBinary)
    this.#tunnel.countFromClient()
    upstream.send(new Uint8Array(bytes), isBinary)
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
    if (upstream.isOpen) return this.#closeUpstream(code, reason)
    // Messages that it sent before it left are still delivered, unless the gate closed its socket.
    if (byClient && code !== closeStatus.lost && this.#early !== undefined) this.#end = { code, reason }
    else upstream.terminate()
  }

  /** Destroys the upstream socket at once. */
  terminate(): void {
    this.#upstream?.terminate()
  }

  #keep(ws: Socket, bytes: ArrayBuffer, isBinary: boolean): void {
    this.#earlyBytes += bytes.byteLength + frameOverheadBytes
    if (this.#earlyBytes > this.#tunnel.maxBufferedBytes) return this.#endSlow(ws)
    this.#early ??= []
    this.#early.push({ bytes: new Uint8Array(bytes).slice(), isBinary })
  }

  connected(): void {
    this.#isConnected = true
  }

  answered(): void {
    this.#hasAnswered = true
    this.#tunnel.upstream.reached()
  }

  refused(status: number): void {
    this.#tunnel.log('warn', 'the upstream server refused a handshake', { status })
    this.#endFailed()
  }

  accepts(protocol: string): boolean {
    // Servers that ignore subprotocols select none.
    if (protocol === '' || protocol === this.#protocol) return true
    this.#tunnel.log('warn', 'the upstream server has selected a subprotocol that the client was not told', {
      chosen: protocol.slice(0, 64),
      told: this.#protocol,
    })
    this.#endClient('upstream_failed', tunnelCloseCode.protocolError, 'subprotocol_mismatch')
    return false
  }

  opened(): void {
    const early = this.#early ?? []
    this.#early = undefined
    for (const { bytes, isBinary } of early) {
      this.#tunnel.countFromClient()
      this.#upstream?.send(bytes, isBinary)
    }
    if (this.#end !== undefined) this.#closeUpstream(this.#end.code, this.#end.reason)
  }

  several(read: () => void): void {
    const ws = this.#client
    if (ws === undefined || !isOpen(ws)) read()
    else ws.cork(read)
  }

  written(): void {
    const ws = this.#client
    const waiting = this.#upstream?.waitingBytes ?? 0
    if (ws !== undefined && waiting > this.#tunnel.maxBufferedBytes) this.#endSlow(ws)
  }

  message(data: Buffer, isBinary: boolean): void {
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

  failed(error: Error): void {
    if (this.#client === undefined) return
    const reason = 'code' in error ? String(error.code) : error.message
    if (!this.#hasAnswered) this.#tunnel.countFailedDial()
    if (meansExhausted(error))
      this.#tunnel.log('warn', 'no file descriptor was left for a connection to the upstream server', {
        reason,
      })
    // It may have hung up on this client only, so it does not count as down for the others.
    else if (!this.#isConnected) this.#tunnel.upstream.failed(reason)
    else if (isOpen(this.#client))
      this.#tunnel.log('warn', 'the connection to the upstream server was lost', { reason })
    this.#endFailed()
  }

  closed(code: number, reason: string): void {
    this.#tunnel.gone(this)
    if (code === closeStatus.lost) this.#endFailed()
    else this.#endClient('upstream_closed', code === closeStatus.none ? 0 : code, reason)
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
    if (code === closeStatus.lost || isStuck) return upstream.terminate()
    if (this.#isPaused) upstream.resume()
    upstream.close(code, reason)
  }
}

/** The relay of a socket, if it belongs to a tunnel. */
export const relayOf = (ws: Socket): Relay | undefined => {
  const { tunnel } = ws.getUserData().session
  return tunnel instanceof Relay ? tunnel : undefined
}
