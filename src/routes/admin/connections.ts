import { routes } from '../../protocol.js'
import type { AdminRoute } from './admin-route.js'

/** How many sockets are open, over all threads. */
export type ConnectionCounts = () => Promise<Readonly<Record<string, number>>>

/** `GET /connections`: how many sockets are open. */
export const connectionsRoute = (connections: ConnectionCounts): AdminRoute => ({
  path: routes.connections,
  method: 'GET',
  handler: async () => ({ body: JSON.stringify(await connections()) }),
})
