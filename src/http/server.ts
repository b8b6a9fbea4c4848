import type { HttpRequest, HttpResponse, TemplatedApp } from 'uWebSockets.js'
import { Refusal } from '../errors.js'
import { createTurnLimit } from '../limits/turn-limit.js'
import type { Log } from '../telemetry/log.js'
import { increment, type RefusalCounts } from '../telemetry/metrics.js'
import { discardBody, readBody } from './body.js'
import type { ClientView } from './client-view.js'
import { endAnswer, endBodiless } from './end-answer.js'
import type { OriginPolicy } from './origins.js'
import { problemBody, problemType, statusLine } from './problem.js'
import { framingOf, type RequestHead, takeHead } from './request.js'

/** What a handler answers with when it does not refuse. */
export interface Reply {
  /** 200 where it is left out. */
  readonly status?: '200 OK' | '204 No Content' | '503 Service Unavailable'
  /** `application/json` where it is left out. */
  readonly contentType?: string
  /** Further response headers. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
}

/** A handler gets a snapshot and the body. It returns, or throws a `Refusal`; anything else thrown is a 500. */
export type Handler<Context> = (head: RequestHead, context: Context, body: Buffer) => Reply | Promise<Reply>

export interface Route<Context> {
  readonly path: string
  /** HEAD only beside a GET that has no effect: it is served as that, without the body. */
  readonly methods: readonly ('GET' | 'HEAD' | 'POST')[]
  /** Whether to leave out what costs a third of a microsecond: a look for a PROXY header that nobody asked for. */
  readonly isHot?: true
  /** What the handler needs of the connection, read while the request is alive. */
  readonly context: (res: HttpResponse, req: HttpRequest) => Context
  /** The limit of all routes where it is left out. */
  readonly maxBodyBytes?: number
  readonly handler: Handler<Context>
}

export interface ServerParts {
  readonly origins: OriginPolicy
  readonly clients: ClientView
  readonly maxBodyBytes: number
  readonly refused: RefusalCounts
  readonly log: Log
}

export interface Server {
  /** Adds a route; its other methods are answered with 405, and OPTIONS as a preflight. */
  route<Context>(route: Route<Context>): void
  /** Adds a handler of another kind: what it is given was not too much in one turn. */
  guarded<Rest extends unknown[]>(
    handler: (res: HttpResponse, req: HttpRequest, ...rest: Rest) => void,
  ): (res: HttpResponse, req: HttpRequest, ...rest: Rest) => void
  /** Refuses a request without a look at its body. */
  refuse(res: HttpResponse, req: HttpRequest, refusal: Refusal): void
  /** How many requests wait for their answers to be worked out. */
  readonly pending: number
}

const originDetail = 'This origin is not allowed here; the operator can add it to TICKETGATE_ORIGINS.'
const noBody = Buffer.alloc(0)
const engineMethods = { GET: 'get', HEAD: 'head', POST: 'post' } as const
const allowedHeaders = 'authorization, content-type'
const exposedHeaders = 'retry-after, www-authenticate'
const preflightMaxAgeSeconds = '600'

/** How many requests are answered in a turn of the event loop before a connection is closed for them. */
const requestsInTurn = 4000

/** Serves routes on a uWS app: the one place that knows how its responses end, abort and are corked. */
export function createServer(app: TemplatedApp, parts: ServerParts): Server {
  const { origins, clients, maxBodyBytes, refused, log } = parts
  const isTooMuch = createTurnLimit(requestsInTurn)
  let pending = 0

  /** The `Origin` to name in CORS headers, '' for none. */
  const sharedOrigin = (origin: string, res: HttpResponse, req: HttpRequest): string =>
    origin !== '' && origins.allows(origin, () => clients.ownOrigin(res, req)) ? origin : ''

  /** The same where a refusal is under way already, which no further one may stop. */
  function originOf(origin: string, res: HttpResponse, req: HttpRequest): string {
    try {
      return sharedOrigin(origin, res, req)
    } catch {
      return ''
    }
  }

  function writeHeaders(res: HttpResponse, contentType: string, origin: string): void {
    res.writeHeader('content-type', contentType).writeHeader('cache-control', 'no-store')
    if (origin !== '')
      res
        .writeHeader('access-control-allow-origin', origin)
        .writeHeader('access-control-expose-headers', exposedHeaders)
        .writeHeader('vary', 'origin')
  }

  function writeReply(res: HttpResponse, reply: Reply, origin: string, headOnly: boolean): void {
    res.writeStatus(reply.status ?? '200 OK')
    writeHeaders(res, reply.contentType ?? 'application/json', origin)
    if (reply.headers !== undefined)
      for (const [name, value] of Object.entries(reply.headers)) res.writeHeader(name, value)
    if (reply.status === '204 No Content') return void res.endWithoutBody()
    if (headOnly) return endBodiless(res, false, Buffer.byteLength(reply.body))
    endAnswer(res, reply.body)
  }

  function writeRefusal(
    res: HttpResponse,
    refusal: Refusal,
    origin: string,
    { headOnly = false, closes = false } = {},
  ): void {
    increment(refused, refusal.code)
    if (log.isLevelEnabled('debug')) log.debug({ code: refusal.code }, 'request refused')
    res.writeStatus(statusLine(refusal.code))
    writeHeaders(res, problemType, origin)
    if (refusal.retryAfterSeconds !== undefined)
      res.writeHeader('retry-after', String(refusal.retryAfterSeconds))
    for (const [name, value] of Object.entries(refusal.headers)) res.writeHeader(name, value)
    const body = problemBody(refusal.code, refusal.detail)
    const isLast = closes || refusal.code === 'body_too_large'
    // The body of an answer to HEAD would be read as the next answer.
    if (headOnly) return endBodiless(res, isLast, Buffer.byteLength(body))
    endAnswer(res, body, isLast)
  }

  /** Everything that is thrown becomes an answer; only what we did not expect is logged as an error. */
  function refusalOf(error: unknown): Refusal {
    if (error instanceof Refusal) return error
    log.error({ err: error }, 'a request failed')
    return new Refusal('internal_error')
  }

  /**
   * Two readers may see different ends of this request, so what follows it may be a smuggled one. The answer comes
   * a turn later: uWS drops a connection on which more arrives while an answer is due.
   */
  function refuseAmbiguous(res: HttpResponse): void {
    let aborted = false
    res.onAborted(() => {
      aborted = true
    })
    setImmediate(() => {
      if (aborted) return
      res.cork(() => {
        increment(refused, 'bad_request')
        res.writeStatus(statusLine('bad_request'))
        writeHeaders(res, problemType, '')
        endAnswer(res, problemBody('bad_request', 'The length of the body is ambiguous.'), true)
      })
    })
  }

  function refuse(res: HttpResponse, req: HttpRequest, refusal: Refusal): void {
    const framing = framingOf(req)
    if (framing === 'ambiguous') return refuseAmbiguous(res)
    refuseNow(res, framing, refusal, originOf(req.getHeader('origin'), res, req), req.getMethod() === 'head')
  }

  /**
   * Refuses without a look at the body. It is read to its end, within limits: who still writes does not read the answer,
   * and a proxy takes that for a failure of ours. The connection ends all the same.
   */
  function refuseNow(
    res: HttpResponse,
    framing: RequestHead['body'],
    refusal: Refusal,
    origin: string,
    headOnly = false,
  ): void {
    if (framing === 'none') return writeRefusal(res, refusal, origin, { headOnly })
    discardBody(res, () => res.cork(() => writeRefusal(res, refusal, origin, { headOnly, closes: true })))
  }

  function serve<Context>(
    route: Route<Context>,
    res: HttpResponse,
    req: HttpRequest,
    headOnly: boolean,
  ): void {
    const head = takeHead(req)
    if (head.body === 'ambiguous') return refuseAmbiguous(res)
    let origin = ''
    let answer: Reply | Promise<Reply>
    try {
      const unasked = route.isHot ? undefined : clients.proxyRefusal(res)
      if (unasked !== undefined) throw unasked
      origin = sharedOrigin(head.origin, res, req)
      const context = route.context(res, req)
      if (head.body === 'present') return serveLater(route, res, head, context, origin, headOnly)
      answer = route.handler(head, context, noBody)
    } catch (error) {
      return refuseNow(res, head.body, refusalOf(error), origin, headOnly)
    }
    if (answer instanceof Promise) settle(res, answer, origin, headOnly)
    else writeReply(res, answer, origin, headOnly)
  }

  function serveLater<Context>(
    route: Route<Context>,
    res: HttpResponse,
    head: RequestHead,
    context: Context,
    origin: string,
    headOnly: boolean,
  ): void {
    readBody(res, route.maxBodyBytes ?? maxBodyBytes, body =>
      settle(
        res,
        (async () => {
          if (body instanceof Refusal) throw body
          return route.handler(head, context, body)
        })(),
        origin,
        headOnly,
      ),
    )
  }

  function settle(res: HttpResponse, answer: Promise<Reply>, origin: string, headOnly: boolean): void {
    let aborted = false
    res.onAborted(() => {
      aborted = true
    })
    pending++
    answer.then(
      reply => {
        pending--
        if (!aborted) res.cork(() => writeReply(res, reply, origin, headOnly))
      },
      error => {
        pending--
        const refusal = refusalOf(error)
        if (!aborted) res.cork(() => writeRefusal(res, refusal, origin, { headOnly }))
      },
    )
  }

  /**
   * Answers a CORS preflight (Fetch standard, section 3.3): an origin that is not ours learns nothing. Who is no page
   * learns the methods (RFC 9110 section 9.3.7).
   */
  function preflight(methods: string, res: HttpResponse, req: HttpRequest): void {
    const framing = framingOf(req)
    if (framing === 'ambiguous') return refuseAmbiguous(res)
    const named = req.getHeader('origin')
    if (named === '') {
      res.writeStatus('204 No Content').writeHeader('allow', `${methods}, OPTIONS`)
      return endBodiless(res, framing === 'present')
    }
    const origin = originOf(named, res, req)
    if (origin === '') return refuse(res, req, new Refusal('origin_forbidden', { detail: originDetail }))
    res
      .writeStatus('204 No Content')
      .writeHeader('access-control-allow-origin', origin)
      .writeHeader('access-control-allow-methods', methods)
      .writeHeader('access-control-allow-headers', allowedHeaders)
      .writeHeader('access-control-max-age', preflightMaxAgeSeconds)
      .writeHeader('vary', 'origin')
    endBodiless(res, framing === 'present')
  }

  const guarded: Server['guarded'] =
    handler =>
    (res, req, ...rest) => {
      if (isTooMuch()) res.close()
      else handler(res, req, ...rest)
    }

  return {
    route<Context>(route: Route<Context>): void {
      const methods = route.methods.join(', ')
      for (const method of route.methods)
        app[engineMethods[method]](
          route.path,
          guarded((res, req) => serve(route, res, req, method === 'HEAD')),
        )
      app.options(
        route.path,
        guarded((res, req) => preflight(methods, res, req)),
      )
      const allow = `${methods}, OPTIONS`
      app.any(
        route.path,
        guarded((res, req) => refuse(res, req, new Refusal('method_not_allowed', { headers: { allow } }))),
      )
    },
    guarded,
    refuse,
    get pending() {
      return pending
    },
  }
}
