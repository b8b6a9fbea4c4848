import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { WebSocket } from 'ws'
import { type Child, cleanEnvironment, startChild } from './child.js'
import { plainTokenShape, type TokenShape, type TokenSource, tokenShapeOf, tokenSource } from './tokens.js'

export const targetNames = ['floor', 'ticketgate'] as const
export type TargetName = (typeof targetNames)[number]

/** A server under measurement: its own process, listening on loopback. */
export interface Target {
  readonly name: TargetName
  readonly child: Child
  readonly host: string
  readonly port: number
  /** Bearer tokens this server accepts (the floor accepts anything, of the same size). */
  readonly tokens: TokenSource
  /** What its replies look like; the floor is told to answer the same bytes. */
  readonly replies: Replies
  /** Whether it checks tickets, so that refusals can be measured. */
  readonly refuses: boolean
}

export interface Replies {
  readonly token: TokenShape
  readonly ticketBody: string
  readonly ticketHeaders: Readonly<Record<string, string>>
  readonly welcome: string
}

/** What the floor answers when it runs without a ticketgate beside it to copy from. */
const plainReplies: Replies = {
  token: plainTokenShape,
  ticketBody: JSON.stringify({ ticket: 'A'.repeat(132), expires: 1_800_000_000 }),
  ticketHeaders: { 'content-type': 'application/json', 'cache-control': 'no-store' },
  welcome: JSON.stringify({
    type: 'welcome',
    session: 'A'.repeat(22),
    user: 'bench',
    channel: '',
    expires: 1_800_000_000,
  }),
}

const root = fileURLToPath(new URL('..', import.meta.url))
const program = join(root, 'dist', 'main.js')
const floorProgram = join(root, 'bench', 'peers', 'floor.ts')
const user = 'bench'

const secret = (): string => randomBytes(32).toString('base64url')

const address = (child: Child): { host: string; port: number } => {
  const { hostname, port } = new URL(child.url)
  return { host: hostname, port: Number(port) }
}

/** GETs (or POSTs) once and demands a 200. */
const ask = async (url: string, init: RequestInit): Promise<{ headers: Headers; text: string }> => {
  const response = await fetch(url, init)
  const text = await response.text()
  if (response.status !== 200)
    throw new Error(`${new URL(url).pathname} answered ${response.status}: ${text}`)
  return { headers: response.headers, text }
}

/** Goes through the whole flow once and keeps what the server answered. */
const recordReplies = async (child: Child, password: string): Promise<Replies> => {
  const login = await ask(`${child.url}/auth`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user, pwd: password }),
  })
  const { token } = JSON.parse(login.text) as { token: string }
  const minted = await ask(`${child.url}/ws_ticket`, { headers: { authorization: `Bearer ${token}` } })
  const { ticket } = JSON.parse(minted.text) as { ticket: string }

  const socket = new WebSocket(`${child.url.replace(/^http/, 'ws')}/channel/?ticket=${ticket}`)
  const [welcome] = (await once(socket, 'message')) as [Buffer]
  socket.close()
  await once(socket, 'close')

  return {
    token: tokenShapeOf(token),
    ticketBody: minted.text,
    ticketHeaders: {
      'content-type': minted.headers.get('content-type') ?? '',
      'cache-control': minted.headers.get('cache-control') ?? '',
    },
    welcome: welcome.toString(),
  }
}

const addUser = (env: Readonly<Record<string, string>>, password: string): void => {
  const { status, stderr } = spawnSync(process.execPath, [program, 'user', 'add', user, '--password-stdin'], {
    env: cleanEnvironment(env),
    input: `${password}\n`,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`Adding the user failed:\n${stderr}`)
}

/** ticketgate in production shape, all defaults but the ticket rate (off) and lifetime (tickets are taken ahead). */
export const startTicketgate = async (directory: string): Promise<Target> => {
  if (!existsSync(program)) throw new Error('dist/main.js is missing: run `npm run build` first')
  const jwtSecret = secret()
  const password = secret()
  const env = {
    NODE_ENV: 'production',
    TICKETGATE_JWT_SECRET: jwtSecret,
    TICKETGATE_ADMIN_KEY: secret(),
    TICKETGATE_PORT: '0',
    TICKETGATE_ADMIN_PORT: '0',
    TICKETGATE_STATE_DIR: join(directory, 'state'),
    TICKETGATE_TICKET_RATE: 'off',
    TICKETGATE_TICKET_TTL_SECONDS: '3600',
    TICKETGATE_LOG_LEVEL: 'info',
  }
  addUser(env, password)
  const child = await startChild([program, 'serve'], env, join(directory, 'ticketgate.log'))
  const replies = await recordReplies(child, password)
  const tokens = tokenSource(replies.token, jwtSecret)
  return { name: 'ticketgate', child, ...address(child), tokens, replies, refuses: true }
}

/** The raw uWS server that checks nothing, answering the same bytes as `replies`. */
export const startFloor = async (directory: string, replies: Replies = plainReplies): Promise<Target> => {
  const env = {
    NODE_ENV: 'production',
    FLOOR_TICKET_BODY: replies.ticketBody,
    FLOOR_TICKET_HEADERS: JSON.stringify(replies.ticketHeaders),
    FLOOR_WELCOME: replies.welcome,
  }
  const child = await startChild(['--import=tsx', floorProgram], env, join(directory, 'floor.log'))
  const tokens = tokenSource(replies.token, secret())
  return { name: 'floor', child, ...address(child), tokens, replies, refuses: false }
}
