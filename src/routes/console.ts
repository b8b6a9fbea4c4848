import { consolePaths, type Figures } from '../console/figures.js'
import type { Reply, Route } from '../http/server.js'
import type { ReplayCache } from '../replay/contract.js'
import type { Snapshot } from '../telemetry/metrics.js'
import { readDocs, readPage } from './console-page.js'
import { type ServerSide, serverSideRoutes } from './console-server-side.js'

export interface ConsoleParts {
  /** Whether the server has logins of its own. If not, the page asks for a token. */
  readonly hasLogin: boolean
  readonly scope: Figures['scope']
  readonly snapshot: () => Snapshot
  readonly replay: Pick<ReplayCache, 'size' | 'highWater' | 'capacity'>
  /** Undefined in production. */
  readonly serverSide: ServerSide | undefined
}

/**
 * The page at `/`, and what it asks for.
 * @throws StartupError `console_missing` if the page was not built
 */
export function consoleRoutes({
  hasLogin,
  scope,
  snapshot,
  replay,
  serverSide,
}: ConsoleParts): Route<undefined>[] {
  const docs = readDocs()
  const page = readPage({ hasLogin, adminUrl: serverSide?.adminUrl, hasDocs: docs.size > 0 })
  const get = (path: string, handler: () => Reply): Route<undefined> => ({
    path,
    methods: ['GET', 'HEAD'],
    context: () => undefined,
    handler,
  })
  return [
    get(consolePaths.page, () => page),
    get(consolePaths.figures, () => ({
      body: JSON.stringify(figuresOf(scope, snapshot(), replay)),
    })),
    ...[...docs].map(([path, text]) => get(path, () => text)),
    ...(serverSide === undefined ? [] : serverSideRoutes(serverSide)),
  ]
}

function figuresOf(
  scope: Figures['scope'],
  { counters, connections }: Snapshot,
  { size, highWater, capacity }: ConsoleParts['replay'],
): Figures {
  const { tokensIssued, ticketsIssued, handshakesAccepted, messagesReceived, messagesPublished } = counters
  return {
    scope,
    connections,
    tokensIssued,
    ticketsIssued,
    handshakesAccepted,
    handshakesRefused: counters.handshakesRefused,
    requestsRefused: counters.requestsRefused,
    messagesReceived,
    messagesPublished,
    replay: { size, highWater, capacity },
  }
}
