import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { consolePaths, type Figures } from '../console/figures.js'
import { StartupError } from '../errors.js'
import type { Reply, Route } from '../http/server.js'
import type { ReplayCache } from '../replay/contract.js'
import type { Snapshot } from '../telemetry/metrics.js'

export interface ConsoleParts {
  /** Whether the server has logins of its own. If not, the page asks for a token. */
  readonly hasLogin: boolean
  readonly scope: Figures['scope']
  readonly snapshot: () => Snapshot
  readonly replay: Pick<ReplayCache, 'size' | 'highWater' | 'capacity'>
}

/**
 * The page at `/`, and the server figures that it shows.
 * @throws StartupError `console_missing` if the page was not built
 */
export function consoleRoutes({ hasLogin, scope, snapshot, replay }: ConsoleParts): Route<undefined>[] {
  const page = readPage(hasLogin)
  const get = (path: string, handler: () => Reply): Route<undefined> => ({
    path,
    methods: ['GET', 'HEAD'],
    context: () => undefined,
    handler,
  })
  return [
    get(consolePaths.page, () => page),
    get(consolePaths.figures, () => {
      const { counters, connections } = snapshot()
      const { tokensIssued, ticketsIssued, handshakesAccepted, messagesReceived, messagesPublished } =
        counters
      const figures: Figures = {
        scope,
        connections,
        tokensIssued,
        ticketsIssued,
        handshakesAccepted,
        handshakesRefused: counters.handshakesRefused,
        requestsRefused: counters.requestsRefused,
        messagesReceived,
        messagesPublished,
        replay: { size: replay.size, highWater: replay.highWater, capacity: replay.capacity },
      }
      return { body: JSON.stringify(figures) }
    }),
  ]
}

/**
 * One document with its style and script inline. Its policy allows these two, by their hashes, and
 * nothing else.
 */
function readPage(hasLogin: boolean): Reply {
  const style = readPart('page.css')
  const script = readPart('main.js')
  const body = readPart('page.html')
    .replace('<body data-login="password">', `<body data-login="${hasLogin ? 'password' : 'token'}">`)
    .replace('<style></style>', () => `<style>${style}</style>`)
    .replace('<script type="module"></script>', () => `<script type="module">${script}</script>`)
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(style)}`,
    "connect-src 'self'",
    // The icon in the page.
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ]
  return {
    contentType: 'text/html; charset=utf-8',
    headers: {
      'content-security-policy': policy.join('; '),
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    },
    body,
  }
}

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

function readPart(name: string): string {
  const file = new URL(`../console/page/${name}`, import.meta.url)
  try {
    return readFileSync(file, 'utf8')
  } catch {
    throw new StartupError(
      'console_missing',
      `${file.pathname}: the console was not built: run npm run build, or set TICKETGATE_CONSOLE=off.`,
    )
  }
}
