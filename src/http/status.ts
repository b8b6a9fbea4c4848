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

/**
 * `/readyz`: new work is welcome here.
 * @param hasKeys whether tokens can be verified
 */
export const readyRoute = (isDraining: () => boolean, hasKeys: () => boolean): Route<undefined> => ({
  path: routes.ready,
  methods: ['GET'],
  context: nothing,
  handler() {
    if (isDraining())
      throw new Refusal('draining', { detail: 'This server is shutting down.', retryAfterSeconds: 1 })
    if (!hasKeys())
      throw new Refusal('keys_unavailable', {
        detail: 'The identity provider has not been reached yet.',
        retryAfterSeconds: 1,
      })
    return { body: '{"status":"ready"}' }
  },
})
