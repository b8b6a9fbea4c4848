import { isChannelName, isSessionId, isSocketId, isUserName, routes } from '../../protocol.js'
import type { ConnectionPage, ConnectionQuery } from '../../socket/connection-list.js'
import type { AdminRoute } from './admin-route.js'
import { Parameters } from './parameters.js'

/** The open sockets of all threads. */
export interface OpenConnections {
  /** The number of open sockets. */
  count(): Promise<number>
  connections(query: ConnectionQuery): Promise<ConnectionPage>
}

/** `GET /connections`: how many sockets are open or, with any parameter, a page of them. */
export const connectionsRoute = (open: OpenConnections): AdminRoute => ({
  path: routes.connections,
  methods: ['GET', 'HEAD'],
  async handler({ query }) {
    if (query === '') return { body: JSON.stringify({ connections: await open.count() }) }
    const { connections, next } = await open.connections(readQuery(query))
    const list = connections.map(({ json }) => json).join()
    return { body: `{"connections":[${list}]${next === undefined ? '' : `,"next":${JSON.stringify(next)}`}}` }
  },
})

function readQuery(query: string): ConnectionQuery {
  const parameters = new Parameters(query, ['user', 'channel', 'session', 'after', 'limit'])
  return {
    user: parameters.text('user', isUserName, 'a user'),
    session: parameters.text('session', isSessionId, 'a session'),
    channel: parameters.text('channel', isChannelName, 'a channel'),
    after: parameters.text('after', isSocketId, 'the id of a connection, as next has it'),
    limit: parameters.limit(),
  }
}
