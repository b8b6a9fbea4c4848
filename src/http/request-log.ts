import { clock } from '../clock.js'
import type { RefusalCode } from '../errors.js'
import { routes } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import { LogSampler } from '../telemetry/log-sampler.js'
import { serializedOrigin } from '../ticket/origin.js'
import { addressText } from './address.js'
import type { ClientView } from './client-view.js'
import type { Exchange } from './exchange.js'
import { type RequestHead, requestIdOf } from './request.js'

export interface RequestLogOptions {
  readonly log: Log
  readonly clients: Pick<ClientView, 'address'>
  /** Whether refusals say what the operator can do about them, as in development. */
  readonly explains: boolean
}

/** The fields of a request in every log line. Undefined if unknown. */
export interface RequestFields {
  /**
   * The path, if it is a known route. Any other may contain something that does not belong in a
   * log.
   */
  readonly route: string | undefined
  readonly origin: string | undefined
  /** The id by which a proxy or caller identifies it. */
  readonly request: string | undefined
}

const ours: ReadonlySet<string> = new Set(Object.values(routes))

/** A scheme, a name of 253 characters and a port. Anything longer is not an origin. */
const maxOriginLength = 280

/** The fields of a request that belong in a log. */
export const fieldsOf = (head: RequestHead): RequestFields => ({
  route: ours.has(head.path) ? head.path : undefined,
  origin: head.origin === '' ? undefined : head.origin.slice(0, maxOriginLength),
  request: requestIdOf(head),
})

/** Logs refused requests with their reasons: at most ten lines per second and code. */
export class RequestLog {
  readonly #options: RequestLogOptions
  readonly #sampler: LogSampler

  constructor(options: RequestLogOptions) {
    this.#options = options
    this.#sampler = new LogSampler((code, omitted) => options.log.info({ code, omitted }, 'refusals omitted'))
  }

  /** The address and fields of a request. Call it before the response. */
  of(exchange: Exchange): RequestFields & { readonly address: string | undefined } {
    return { address: this.#addressOf(exchange), ...fieldsOf(exchange.head) }
  }

  /**
   * @param reason details beyond the code
   * @param more further fields; called only if the line is written
   */
  refused(
    message: string,
    exchange: Exchange,
    code: RefusalCode,
    reason: string | undefined,
    more?: (exchange: Exchange) => object | undefined,
  ): void {
    const { log } = this.#options
    if (!log.isLevelEnabled('info')) return
    const sample = this.#sampler.take(code, clock())
    if (sample === undefined) return
    const about = this.of(exchange)
    const hint = this.#hintOf(code, about.origin)
    log.info({ code, reason, ...about, ...more?.(exchange), hint, ...sample }, message)
  }

  #addressOf(exchange: Exchange): string | undefined {
    try {
      return addressText(this.#options.clients.address(exchange)) || undefined
    } catch {
      // It names an address without being trusted.
      return undefined
    }
  }

  #hintOf(code: RefusalCode, origin: string | undefined): string | undefined {
    if (!this.#options.explains || code !== 'origin_forbidden' || origin === undefined) return undefined
    return serializedOrigin(origin) === origin
      ? `pages of ${origin} may not connect: add ${origin} to TICKETGATE_ORIGINS`
      : 'a page without an origin of its own may not connect: serve it from a server'
  }
}
