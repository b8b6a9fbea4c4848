import { Refusal } from '../errors.js'
import type { Route } from '../http/server.js'
import { routes } from '../protocol.js'

const nothing = (): undefined => undefined

/** `/healthz`: the process works. */
export const healthRoute: Route<undefined> = {
  path: routes.health,
  methods: ['GET', 'HEAD'],
  context: nothing,
  handler: () => ({ body: '{"status":"ok"}' }),
}

export interface Readiness {
  readonly isDraining: () => boolean
  /** The issuers whose keys have not been fetched yet, so that their tokens cannot be verified. */
  readonly withoutKeys: () => readonly string[]
  /** Whether what was spent can be asked for: without it nobody gets in. */
  readonly isStoreReady: () => boolean
  /** Undefined where there are no other nodes. Without a way to them, what concerns this one goes on. */
  readonly isBusUp: (() => boolean) | undefined
}

/** `/readyz`: new work is welcome here. */
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
        detail: 'Redis can not be relied on now; the log says why.',
        retryAfterSeconds: 1,
      })
    const bus = isBusUp && (isBusUp() ? 'up' : 'down')
    return { body: JSON.stringify({ status: 'ready', bus }) }
  },
})
