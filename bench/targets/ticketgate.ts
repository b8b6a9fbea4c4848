import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { address, startChild } from './child.js'
import { secret } from './secret.js'
import type { Target } from './target.js'
import { tokenSource } from './tokens.js'
import type { Users } from './users.js'
import { ticketWire } from './wires.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const program = join(root, 'dist', 'main.js')

// Too high to be reached: the limiters do their work but refuse nothing, as one user and one
// address do everything.
const unreachedRate = '1000000/1'

export interface GateOptions {
  readonly settings?: Readonly<Record<string, string>>
  /** Options of Node, before the program. */
  readonly nodeOptions?: readonly string[]
  readonly tokenSeconds?: number
}

/**
 * Starts ticketgate in production shape. Rates and ticket lifetime differ from the defaults (see
 * bench/README.md).
 */
export const startTicketgate = async (
  directory: string,
  users: Users,
  options: GateOptions = {},
): Promise<Target> => {
  if (!existsSync(program)) throw new Error('dist/main.js is missing: run `npm run build` first')
  const own = mkdtempSync(join(directory, 'ticketgate-'))
  const state = join(own, 'state')
  mkdirSync(state, { mode: 0o700 })
  const records = Object.entries(users.hashes).map(([name, passwordHash]) => [name, { passwordHash }])
  writeFileSync(join(state, 'users.json'), JSON.stringify(Object.fromEntries(records)), { mode: 0o600 })
  const jwtSecret = options.settings?.TICKETGATE_JWT_SECRET ?? secret()
  const adminKey = secret()
  const env = {
    NODE_ENV: 'production',
    TICKETGATE_JWT_SECRET: jwtSecret,
    TICKETGATE_ADMIN_KEY: adminKey,
    TICKETGATE_PORT: '0',
    TICKETGATE_ADMIN_PORT: '0',
    TICKETGATE_STATE_DIR: state,
    TICKETGATE_LOGIN_RATE: unreachedRate,
    TICKETGATE_TICKET_RATE: unreachedRate,
    TICKETGATE_MESSAGE_RATE: unreachedRate,
    TICKETGATE_TICKET_TTL_SECONDS: '300',
    TICKETGATE_LOG_LEVEL: 'info',
    ...options.settings,
  }
  const child = await startChild(
    [process.execPath, ...(options.nodeOptions ?? []), program, 'serve'],
    env,
    join(own, 'log'),
  )
  const shape = { header: { alg: 'HS256', typ: 'JWT' }, claims: { sub: 'bench', sid: secret().slice(0, 16) } }
  const admin = new URL(child.adminUrl ?? child.url)
  return {
    name: 'ticketgate',
    child,
    pids: [child.pid],
    ...address(child),
    admin: { port: Number(admin.port), key: adminKey },
    wire: ticketWire,
    tokens: tokenSource(shape, jwtSecret, options.tokenSeconds),
    logins: users.logins,
    refusals: { replay: 'ticket_used', forgery: 'ticket_invalid' },
    share: 1,
    cannot: {},
    another: env =>
      startTicketgate(directory, users, { ...options, settings: { ...options.settings, ...env } }),
    stop: child.stop,
  }
}
