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

/** What is said of a request in every line of the log: undefined where it is not known. */
export interface RequestFields {
  /** The path, where it is one of ours: any other may hold what does not belong in a log. */
  readonly route: string | undefined
  readonly origin: string | undefined
  /** By which a proxy, or whoever calls, tells it from others. */
  readonly request: string | undefined
}

const ours: ReadonlySet<string> = new Set(Object.values(routes))

/** An origin is at most a scheme, a name of 253 characters and a port; what is longer is none. */
const maxOriginLength = 280

/** What a request says of itself, as far as it belongs in a log. */
export const fieldsOf = (head: RequestHead): RequestFields => ({
  route: ours.has(head.path) ? head.path : undefined,
  origin: head.origin === '' ? undefined : head.origin.slice(0, maxOriginLength),
  request: requestIdOf(head),
})

/** Says which requests were refused and why: ten lines a second of each code, whatever comes. */
export class RequestLog {
  readonly #options: RequestLogOptions
  readonly #sampler = new LogSampler()

  constructor(options: RequestLogOptions) {
    this.#options = options
  }

  /** Where a request comes from, and what it says of itself. To be asked before it is answered. */
  of(exchange: Exchange): RequestFields & { readonly address: string | undefined } {
    return { address: this.#addressOf(exchange), ...fieldsOf(exchange.head) }
  }

  /**
   * @param reason what the code does not say
   * @param more further fields; asked only if the line is written
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
      return addressText(this.#options.clients.address(exchange))
    } catch {
      // The connection is gone, or names somebody else without the right to.
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
