import { Refusal } from '../errors.js'
import type { Route } from '../http/server.js'
import { routes } from '../protocol.js'

const nothing = (): undefined => undefined

/** `/healthz`: the process is alive. */
export const healthRoute: Route<undefined> = {
  path: routes.health,
  methods: ['GET', 'HEAD'],
  context: nothing,
  handler: () => ({ body: '{"status":"ok"}' }),
}

export interface Readiness {
  readonly isDraining: () => boolean
  /** The issuers whose keys have not been fetched yet. Their tokens cannot be verified. */
  readonly withoutKeys: () => readonly string[]
  /** Whether the record of spent tickets is available. Without it, no ticket is accepted. */
  readonly isStoreReady: () => boolean
  /**
   * Undefined if there are no other nodes. While the bus is down, this node keeps working by
   * itself.
   */
  readonly isBusUp: (() => boolean) | undefined
}

/** `/readyz`: the server accepts new work. */
export const readyRoute = ({
  isDraining,
  withoutKeys,
  isStoreReady,
  isBusUp,
}: Readiness): Route<undefined> => ({
  path: routes.ready,
  methods: ['GET', 'HEAD'],
  context: nothing,
  handler() {
    if (isDraining())
      throw new Refusal('draining', { detail: 'This server is shutting down.', retryAfterSeconds: 1 })
    const missing = withoutKeys()
    if (missing.length > 0)
      throw new Refusal('keys_unavailable', {
        detail: `The keys of ${missing.join(', ')} have not been fetched yet; the log says why.`,
        retryAfterSeconds: 1,
      })
    if (!isStoreReady())
      throw new Refusal('replay_cache_unavailable', {
        detail: 'Redis cannot be relied on right now; the log says why.',
        retryAfterSeconds: 1,
      })
    const bus = isBusUp && (isBusUp() ? 'up' : 'down')
    return { body: JSON.stringify({ status: 'ready', bus }) }
  },
})
