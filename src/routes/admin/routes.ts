import type { BackEndIssuer } from '../../admission/back-end-issuer.js'
import type { Route } from '../../http/server.js'
import type { Control } from '../../socket/control.js'
import type { EventHub } from '../../telemetry/event-hub.js'
import type { Metrics } from '../../telemetry/prometheus.js'
import { guarded } from './admin-route.js'
import { channelsRoute, type SubscribedChannels } from './channels.js'
import { connectionsRoute, type OpenConnections } from './connections.js'
import { disconnectRoute } from './disconnect.js'
import { eventsRoute } from './events.js'
import { type AcceptedKeys, createGuard } from './guard.js'
import { metricsRoute } from './metrics.js'
import { publishRoute } from './publish.js'
import { ticketsRoute } from './tickets.js'

export interface AdminParts {
  readonly keys: AcceptedKeys
  readonly metrics: Metrics
  readonly sockets: OpenConnections & SubscribedChannels
  readonly tickets: Pick<BackEndIssuer, 'issue' | 'issued'>
  readonly events: EventHub
  readonly control: Pick<Control, 'disconnect' | 'publish' | 'published'>
}

/** The routes of the admin listener. */
export function adminRoutes({
  keys,
  metrics,
  sockets,
  tickets,
  control,
  events,
}: AdminParts): Route<undefined>[] {
  const guard = createGuard(keys)
  return [
    metricsRoute(metrics),
    connectionsRoute(sockets),
    channelsRoute(sockets),
    ticketsRoute(tickets),
    publishRoute(control),
    disconnectRoute(control),
    eventsRoute(events),
  ].map(route => guarded(guard, route))
}
