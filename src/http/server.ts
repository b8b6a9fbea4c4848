// http/: the one place that knows requests and responses of uWebSockets.js. It does not know
// tickets or tokens.

import type { TemplatedApp } from 'uWebSockets.js'
import { Refusal } from '../errors.js'
import { createTurnLimit } from '../limits/turn-limit.js'
import type { Log } from '../telemetry/log.js'
import { increment, type RefusalCounts } from '../telemetry/metrics.js'
import type { ClientView } from './client-view.js'
import {
  type EngineHandler,
  Exchange,
  type ResponseStream,
  type Routed,
  type StreamListener,
} from './exchange.js'
import type { OriginPolicy } from './origins.js'
import { problemBody, problemMediaType, statusLine } from './problem.js'
import type { RequestHead } from './request.js'
import { RequestLog } from './request-log.js'

/** The reply of a handler that does not refuse. */
export interface Reply {
  /** Default: 200. */
  readonly status?: '200 OK' | '204 No Content' | '503 Service Unavailable'
  /** Default: `application/json`. */
  readonly contentType?: string
  /** Further response headers. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
}

/** A reply that goes on, with 200, until one of the two ends it. */
export interface StreamReply {
  readonly contentType: string
  readonly stream: (response: ResponseStream) => StreamListener
  /** Called in its place if the client has gone before. */
  readonly unsent: () => void
}

/**
 * A handler gets a snapshot and the body. It returns, or throws a `Refusal`; anything else thrown
 * is a 500.
 */
export type Handler<Context> = (
  head: RequestHead,
  context: Context,
  body: Buffer,
) => Reply | Promise<Reply | StreamReply>

export interface Route<Context> {
  readonly path: string
  /** HEAD only together with a GET without side effects: it is served as that, without the body. */
  readonly methods: readonly ('GET' | 'HEAD' | 'POST')[]
  /**
   * Whether to skip the look for an unexpected PROXY header, which costs a third of a microsecond.
   */
  readonly isHot?: true
  /** What the handler needs from the connection, read while the request is alive. */
  readonly context: (exchange: Exchange) => Context
  /** Default: the limit of all routes. */
  readonly maxBodyBytes?: number
  /** Further header fields that it reads, in lower case. */
  readonly headers?: ReadonlySet<string>
  readonly handler: Handler<Context>
}

export interface ServerParts {
  readonly origins: OriginPolicy
  readonly clients: ClientView
  readonly maxBodyBytes: number
  readonly refused: RefusalCounts
  readonly log: Log
  /** Whether browsers are told to use TLS only. */
  readonly strictTransport?: boolean
  /** Whether refusals in the log say what the operator can do about them. */
  readonly explains: boolean
}

const originDetail = 'This origin is not allowed here; the operator can add it to TICKETGATE_ORIGINS.'
const ambiguousDetail = 'The length of the body is ambiguous.'
const chunkedDetail = 'Send the body with Content-Length: chunked bodies are not accepted.'
const noBody = Buffer.alloc(0)
const engineMethods = { GET: 'get', HEAD: 'head', POST: 'post' } as const
const allowedHeaders = 'authorization, content-type'
const preflightMaxAgeSeconds = '600'

/** How many requests are handled in a turn of the event loop before a connection is closed. */
const requestsInTurn = 4000

/** Serves routes on a uWS app. */
export class Server {
  /** Logs a refusal. */
  readonly requests: RequestLog
  readonly #app: TemplatedApp
  readonly #parts: ServerParts
  readonly #isTooMuch = createTurnLimit(requestsInTurn)
  /** Functions that add the routes to an app, in order. */
  readonly #mounts: ((app: TemplatedApp) => void)[] = []
  #pending = 0

  constructor(app: TemplatedApp, parts: ServerParts) {
    this.#app = app
    this.#parts = parts
    this.requests = new RequestLog(parts)
  }

  /** How many requests are being handled. */
  get pending(): number {
    return this.#pending
  }

  /** Adds something to the app, and to all later apps that serve the same. */
  mount(add: (app: TemplatedApp) => void): void {
    this.#mounts.push(add)
    add(this.#app)
  }

  /** Adds everything to another app as well. */
  serveOn(app: TemplatedApp): void {
    for (const add of this.#mounts) add(app)
  }

  /** Adds a route. Other methods get a 405, and OPTIONS is handled as a preflight. */
  route<Context>(route: Route<Context>): void {
    this.mount(app => this.#addRoute(app, route))
  }

  /**
   * Makes a uWS handler. Requests that are ambiguous, and those beyond the limit of a turn, do not
   * reach it.
   * @param handle answers, or sees to it that there will be an answer
   */
  handler(handle: (exchange: Exchange) => void, routed?: Routed): EngineHandler {
    return Exchange.handler(
      this.#isTooMuch,
      exchange => {
        if (!this.#refusesUnclear(exchange)) handle(exchange)
      },
      routed,
      this.#parts.strictTransport,
    )
  }

  /**
   * Refuses a request without inspecting its body. The body is read to its end, within limits: a
   * client that is still writing does not read the response, and a proxy reports that as our
   * failure. Then the connection is closed.
   */
  refuse(exchange: Exchange, refusal: Refusal): void {
    this.#refuseUnread(exchange, refusal, this.#originOf(exchange))
  }

  #addRoute<Context>(app: TemplatedApp, route: Route<Context>): void {
    const { path } = route
    const methods = route.methods.join(', ')
    for (const name of route.methods) {
      const method = engineMethods[name]
      app[method](
        path,
        this.handler(exchange => this.#serve(route, exchange), {
          method,
          path,
          ...(route.headers === undefined ? {} : { headers: route.headers }),
        }),
      )
    }
    const allow = `${methods}, OPTIONS`
    app.options(
      path,
      this.handler(exchange => this.#preflight(methods, exchange), { method: 'options', path }),
    )
    app.any(
      path,
      this.handler(exchange =>
        this.refuse(exchange, new Refusal('method_not_allowed', { headers: { allow } })),
      ),
    )
  }

  /** Refuses a request that two readers may interpret differently. Returns whether it has. */
  #refusesUnclear(exchange: Exchange): boolean {
    const { body, repeated } = exchange.head
    if (body === 'ambiguous') this.#refuseAmbiguous(exchange)
    else if (body === 'chunked')
      this.refuse(exchange, new Refusal('length_required', { detail: chunkedDetail }))
    else if (repeated !== undefined)
      this.refuse(exchange, new Refusal('bad_request', { detail: `${repeated} may be given only once.` }))
    else return false
    return true
  }

  /**
   * Whatever follows this request may be smuggled. Responds a turn later, because uWS drops a
   * connection on which more arrives while a response is due.
   */
  #refuseAmbiguous(exchange: Exchange): void {
    exchange.inOwnTurn(() =>
      this.#answerRefusal(exchange, new Refusal('bad_request', { detail: ambiguousDetail }), '', true),
    )
  }

  #serve<Context>(route: Route<Context>, exchange: Exchange): void {
    const { head } = exchange
    let origin = ''
    let reply: ReturnType<Handler<Context>>
    try {
      const refusal = route.isHot ? undefined : this.#parts.clients.proxyRefusal(exchange)
      if (refusal !== undefined) throw refusal
      origin = this.#sharedOrigin(exchange)
      const context = route.context(exchange)
      if (head.body !== 'none') return this.#serveBody(route, exchange, context, origin)
      reply = route.handler(head, context, noBody)
    } catch (error) {
      return this.#refuseUnread(exchange, this.#refusalOf(error), origin)
    }
    this.#settle(exchange, reply, origin)
  }

  #serveBody<Context>(route: Route<Context>, exchange: Exchange, context: Context, origin: string): void {
    exchange.readBody(route.maxBodyBytes ?? this.#parts.maxBodyBytes, body => {
      let reply: ReturnType<Handler<Context>>
      try {
        if (body instanceof Refusal) throw body
        reply = route.handler(exchange.head, context, body)
      } catch (error) {
        return this.#answerRefusal(exchange, this.#refusalOf(error), origin)
      }
      this.#settle(exchange, reply, origin)
    })
  }

  #settle(exchange: Exchange, reply: ReturnType<Handler<unknown>>, origin: string): void {
    if (!(reply instanceof Promise)) return this.#answer(exchange, reply, origin)
    this.#pending++
    const settled = (answer: () => void, unsent?: () => void): void => {
      exchange.inOwnTurn(
        () => {
          this.#pending--
          answer()
        },
        () => {
          this.#pending--
          unsent?.()
        },
      )
    }
    reply.then(
      late => {
        if (!('stream' in late)) return settled(() => this.#answer(exchange, late, origin))
        const { contentType, stream, unsent } = late
        settled(() => exchange.stream({ status: '200 OK', contentType, origin }, stream), unsent)
      },
      error => {
        const refusal = this.#refusalOf(error)
        settled(() => this.#answerRefusal(exchange, refusal, origin))
      },
    )
  }

  #answer(exchange: Exchange, reply: Reply, origin: string): void {
    const { status = '200 OK', contentType = 'application/json', headers, body } = reply
    exchange.answer({
      status,
      contentType,
      origin,
      headers,
      body: status === '204 No Content' ? undefined : body,
      closes: false,
    })
  }

  #refuseUnread(exchange: Exchange, refusal: Refusal, origin: string): void {
    if (exchange.head.body === 'none') return this.#answerRefusal(exchange, refusal, origin)
    exchange.discardBody(refusal, () => this.#answerRefusal(exchange, refusal, origin, true))
  }

  #answerRefusal(exchange: Exchange, refusal: Refusal, origin: string, closes = false): void {
    const { code, detail, reason, retryAfterSeconds, headers } = refusal
    increment(this.#parts.refused, code)
    if (!refusal.isTold) this.requests.refused('request refused', exchange, code, reason)
    exchange.answer({
      status: statusLine(code),
      contentType: problemMediaType,
      origin,
      headers:
        retryAfterSeconds === undefined ? headers : { 'retry-after': String(retryAfterSeconds), ...headers },
      body: problemBody(code, detail),
      closes: closes || code === 'body_too_large',
    })
  }

  /** Turns anything thrown into a response. Only unexpected errors are logged as such. */
  #refusalOf(error: unknown): Refusal {
    if (error instanceof Refusal) return error
    this.#parts.log.error({ err: error }, 'a request failed')
    return new Refusal('internal_error')
  }

  /** The `Origin` to name in CORS headers, '' for none. */
  #sharedOrigin(exchange: Exchange): string {
    const { origin } = exchange.head
    const { origins, clients } = this.#parts
    return origin !== '' && origins.allows(origin, () => clients.ownOrigin(exchange)) ? origin : ''
  }

  /** Likewise during a refusal, which no further one may stop. */
  #originOf(exchange: Exchange): string {
    try {
      return this.#sharedOrigin(exchange)
    } catch {
      return ''
    }
  }

  /**
   * Responds to a CORS preflight (Fetch standard, section 3.3). Unknown origins learn nothing.
   * Requests without an Origin header get the Allow list (RFC 9110 section 9.3.7).
   */
  #preflight(methods: string, exchange: Exchange): void {
    const { head } = exchange
    const status = '204 No Content'
    const closes = head.body !== 'none'
    if (head.origin === '')
      return exchange.answer({ status, headers: { allow: `${methods}, OPTIONS` }, closes })
    const origin = this.#originOf(exchange)
    if (origin === '') return this.refuse(exchange, new Refusal('origin_forbidden', { detail: originDetail }))
    const headers = {
      'access-control-allow-origin': origin,
      'access-control-allow-methods': methods,
      'access-control-allow-headers': allowedHeaders,
      'access-control-max-age': preflightMaxAgeSeconds,
      vary: 'origin',
    }
    exchange.answer({ status, headers, closes })
  }
}
