import { Refusal } from '../errors.js'
import { routes } from '../protocol.js'
import type { Route } from './server.js'

const nothing = (): undefined => undefined

/** `/healthz`: the process works. */
export const healthRoute: Route<undefined> = {
  path: routes.health,
  methods: ['GET'],
  context: nothing,
  handler: () => ({ body: '{"status":"ok"}' }),
}

export interface Readiness {
  readonly isDraining: () => boolean
  /** Whether what was spent can be asked for: without it nobody gets in. */
  readonly isStoreReady: () => boolean
}

/** `/readyz`: new work is welcome here. */
export const readyRoute = ({ isDraining, isStoreReady }: Readiness): Route<undefined> => ({
  path: routes.ready,
  methods: ['GET'],
  context: nothing,
  handler() {
    if (isDraining())
      throw new Refusal('draining', { detail: 'This server is shutting down.', retryAfterSeconds: 1 })
    if (!isStoreReady())
      throw new Refusal('replay_cache_unavailable', {
        detail: 'Redis can not be relied on now; the log says why.',
        retryAfterSeconds: 1,
      })
    return { body: '{"status":"ready"}' }
  },
})
