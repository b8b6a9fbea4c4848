import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hash } from '@node-rs/argon2'
import { WebSocket } from 'ws'
import { type Child, startChild } from './child.js'
import type { Logins, Target } from './target.js'
import { type TokenShape, tokenShapeOf, tokenSource } from './tokens.js'
import { payload, ticketWire } from './wires.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const program = join(root, 'dist', 'main.js')

export const secret = (): string => randomBytes(32).toString('base64url')

export const address = (child: Child): { host: string; port: number } => {
  const { hostname, port } = new URL(child.url)
  return { host: hostname, port: Number(port) }
}

/**
 * Two users and their hashes: one as `ticketgate user add` makes it, and the cheapest that it
 * accepts.
 */
export interface Users {
  readonly logins: Logins
  readonly hashes: Readonly<Record<string, string>>
}

export const createUsers = async (): Promise<Users> => {
  const production = { user: 'bench', pwd: secret() }
  const cheap = { user: 'cheap', pwd: secret() }
  return {
    logins: { production, cheap },
    hashes: {
      bench: await hash(production.pwd, { memoryCost: 19_456, timeCost: 2, parallelism: 1 }),
      cheap: await hash(cheap.pwd, { memoryCost: 7_168, timeCost: 1, parallelism: 1 }),
    },
  }
}

/** Recorded replies of ticketgate. The floor sends the same bytes. */
export interface Replies {
  readonly token: TokenShape
  readonly headers: Readonly<Record<string, string>>
  readonly loginBody: string
  readonly ticketBody: string
  readonly welcome: string
  readonly message: string
  readonly ok: string
}

/** Sends a request and requires a 200. */
const ask = async (url: string, init: RequestInit): Promise<{ headers: Headers; text: string }> => {
  const response = await fetch(url, init)
  const text = await response.text()
  if (response.status !== 200)
    throw new Error(`${new URL(url).pathname} answered ${response.status}: ${text}`)
  return { headers: response.headers, text }
}

/** Runs the whole flow once and records the replies. */
export const recordReplies = async ({ child, logins }: Target): Promise<Replies> => {
  const login = await ask(`${child.url}/auth`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(logins.cheap),
  })
  const { token } = JSON.parse(login.text) as { token: string }
  const take = () => ask(`${child.url}/ws_ticket`, { headers: { authorization: `Bearer ${token}` } })
  const minted = await take()

  const open = async (text: string): Promise<{ socket: WebSocket; welcome: string }> => {
    const { ticket } = JSON.parse(text) as { ticket: string }
    const socket = new WebSocket(`${child.url.replace(/^http/, 'ws')}/channel/?ticket=${ticket}`)
    return { socket, welcome: await next(socket) }
  }
  const next = async (socket: WebSocket): Promise<string> => String((await once(socket, 'message'))[0])

  const listener = await open(minted.text)
  const publisher = await open((await take()).text)
  const heard = Promise.all([next(listener.socket), next(publisher.socket)])
  publisher.socket.send(ticketWire.publication(payload, 1))
  const [message, ok] = await heard
  for (const { socket } of [listener, publisher]) {
    socket.close()
    await once(socket, 'close')
  }
  return {
    token: tokenShapeOf(token),
    headers: {
      'content-type': minted.headers.get('content-type') ?? '',
      'cache-control': minted.headers.get('cache-control') ?? '',
    },
    loginBody: login.text,
    ticketBody: minted.text,
    welcome: listener.welcome,
    message,
    ok,
  }
}

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
  const [jwtSecret, adminKey] = [secret(), secret()]
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
    TICKETGATE_TICKET_TTL_SECONDS: '3600',
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
