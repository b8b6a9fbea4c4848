import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Child, startChild } from './child.js'
import type { Fleet } from './nodes.js'
import { installPackages } from './packages.js'
import type { Missing } from './report.js'
import type { Target, TargetName } from './target.js'
import { address, type Replies, recordReplies, secret, startTicketgate, type Users } from './ticketgate.js'
import { plainTokenShape, tokenSource } from './tokens.js'
import { floorWire, socketIoWire, ticketWire } from './wires.js'

const peer = (file: string): string => fileURLToPath(new URL(`peers/${file}`, import.meta.url))

type Environment = Readonly<Record<string, string>>

/** What a target needs to start. */
interface Stage {
  readonly directory: string
  readonly users: Users
  /** The replies of ticketgate, for the floor. */
  readonly replies: Replies
}

/** Starts the raw uWS server that checks nothing and replies with the same bytes as ticketgate. */
const startFloor = async (stage: Stage, more: Environment = {}): Promise<Target> => {
  const { directory, replies, users } = stage
  const env = {
    NODE_ENV: 'production',
    FLOOR_HEADERS: JSON.stringify(replies.headers),
    FLOOR_LOGIN_BODY: replies.loginBody,
    FLOOR_TICKET_BODY: replies.ticketBody,
    FLOOR_WELCOME: replies.welcome,
    FLOOR_MESSAGE: replies.message,
    FLOOR_OK: replies.ok,
    ...more,
  }
  const own = mkdtempSync(join(directory, 'floor-'))
  const child = await startChild([process.execPath, '--import=tsx', peer('floor.ts')], env, join(own, 'log'))
  return {
    name: 'floor',
    child,
    pids: [child.pid],
    ...address(child),
    wire: floorWire,
    tokens: tokenSource(replies.token, secret()),
    logins: users.logins,
    share: 1,
    cannot: { storm: 'it hashes nothing' },
    another: env => startFloor(stage, env),
    stop: child.stop,
  }
}

type Kind = Pick<Target, 'name' | 'wire' | 'refusals' | 'share' | 'cannot'>

/** Starts a peer, with its secret and users in the environment. */
const startPeer = async (
  stage: Stage,
  kind: Kind,
  command: (own: string) => readonly [string, ...string[]],
  beside?: { readonly child: Child; readonly env: Environment },
  more: Environment = {},
): Promise<Target> => {
  const own = mkdtempSync(join(stage.directory, `${kind.name}-`))
  const key = secret()
  const env = {
    NODE_ENV: 'production',
    PEER_SECRET: key,
    PEER_USERS: JSON.stringify(stage.users.hashes),
    PEER_TICKET_SECONDS: '3600',
    ...beside?.env,
    ...more,
  }
  const child = await startChild(command(own), env, join(own, 'log'))
  return {
    ...kind,
    child,
    pids: [child.pid, ...(beside ? [beside.child.pid] : [])],
    ...address(child),
    tokens: tokenSource({ ...plainTokenShape, claims: { ...plainTokenShape.claims, aud: 'api' } }, key),
    logins: stage.users.logins,
    another: env => startPeer(stage, kind, command, beside, env),
    stop: child.stop,
  }
}

const ticketRefusals = { replay: 'ticket_used', forgery: 'ticket_invalid' }

const startNodePeer = (stage: Stage, kind: Omit<Kind, 'wire'> & { wire?: Kind['wire'] }): Promise<Target> => {
  installPackages()
  return startPeer(stage, { wire: ticketWire, ...kind }, () => [process.execPath, peer(`${kind.name}.js`)])
}

const startExpress = (stage: Stage): Promise<Target> =>
  startNodePeer(stage, { name: 'express', refusals: ticketRefusals, share: 0.25, cannot: {} })

const startFastify = (stage: Stage): Promise<Target> =>
  startNodePeer(stage, { name: 'fastify', refusals: ticketRefusals, share: 0.25, cannot: {} })

const startSocketIo = (stage: Stage): Promise<Target> => {
  const noHttp = 'it has no HTTP routes: the token opens the socket'
  return startNodePeer(stage, {
    name: 'socketio',
    wire: socketIoWire,
    share: 0.25,
    cannot: {
      auth: noHttp,
      ticket: noHttp,
      storm: noHttp,
      'ticket at 2,000/s': noHttp,
      'refused replay': 'its tokens open any number of sockets',
      'refused forgery': 'it refuses only after the 101',
    },
  })
}

const goPackages =
  'golang-go golang-github-gorilla-websocket-dev golang-github-golang-jwt-jwt-dev golang-golang-x-crypto-dev'

const startGo = async (stage: Stage): Promise<Target> => {
  const program = join(stage.directory, 'go-peer')
  const { status, error, stderr } = spawnSync('go', ['build', '-o', program, peer('go.go')], {
    encoding: 'utf8',
    env: { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOFLAGS: '-mod=mod' },
  })
  if (error !== undefined || status !== 0)
    throw new Error(`it does not build (apt-get install ${goPackages}): ${(error?.message ?? stderr).trim()}`)
  const kind: Kind = {
    name: 'go',
    wire: ticketWire,
    refusals: ticketRefusals,
    share: 0.5,
    cannot: { auth: 'Go hashes on any of its threads, so the cost of that can not be set aside' },
  }
  return startPeer(stage, kind, () => [program])
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** Starts a Redis for one target. Its CPU time counts as the target's. */
const startStore = async (stage: Pick<Stage, 'directory'>): Promise<Child> => {
  const port = String(await freePort())
  const own = mkdtempSync(join(stage.directory, 'redis-'))
  return startChild(
    ['redis-server', '--port', port, '--save', '', '--bind', '127.0.0.1', '--dir', own],
    {},
    join(own, 'log'),
    log => (log.includes('Ready to accept connections') ? { url: `redis://127.0.0.1:${port}` } : undefined),
  ).catch((error: Error) => {
    throw new Error(`no redis-server (apt-get install redis-server): ${error.message}`)
  })
}

const startRedis = async (stage: Stage): Promise<Target> => {
  installPackages()
  const store = await startStore(stage)
  const kind: Kind = {
    name: 'redis',
    wire: ticketWire,
    // It cannot tell a used ticket from one that never existed.
    refusals: { replay: 'ticket_invalid', forgery: 'ticket_invalid' },
    share: 0.5,
    cannot: {
      'ticket, pipelined': 'uWS closes a connection that goes on while an answer waits for the store',
    },
  }
  const beside = { child: store, env: { PEER_REDIS_URL: store.url } }
  const target = await startPeer(stage, kind, () => [process.execPath, peer('redis.js')], beside)
  return { ...target, stop: () => target.stop().then(store.stop) }
}

const noStore = 'no store takes part in it: as ticketgate'
const sameAsTicketgate = { auth: noStore, memory: noStore, storm: noStore }

/** Starts gates that share a Redis, whose CPU time counts as that of the first gate. */
const startGatesOnRedis = async (
  stage: Pick<Stage, 'directory' | 'users'>,
  count: number,
): Promise<{ nodes: readonly Target[]; stop(): Promise<void> }> => {
  const store = await startStore(stage)
  const settings = {
    TICKETGATE_REPLAY: 'redis',
    TICKETGATE_REDIS_URL: store.url,
    TICKETGATE_TICKET_KEYS: `1:${secret()}`,
  }
  const nodes = await Promise.all(
    Array.from({ length: count }, async (): Promise<Target> => {
      const target = await startTicketgate(stage.directory, stage.users, { settings })
      const pids = [...target.pids, store.pid]
      return { ...target, name: 'ticketgate on redis', pids, cannot: sameAsTicketgate }
    }),
  )
  return {
    nodes,
    async stop() {
      await Promise.all(nodes.map(node => node.stop()))
      await store.stop()
    },
  }
}

const startTicketgateOnRedis = async (stage: Stage): Promise<Target> => {
  const { nodes, stop } = await startGatesOnRedis(stage, 1)
  return { ...(nodes[0] as Target), stop }
}

/** The two ways to run several gates. */
export const fleetsOf = (directory: string, users: Users): Fleet[] => [
  {
    label: 'ticketgate, routed',
    async start(count) {
      const nodes = await Promise.all(
        Array.from({ length: count }, (_, n) =>
          startTicketgate(directory, users, { settings: { TICKETGATE_NODE: `node-${n}` } }),
        ),
      )
      return { nodes, stop: async () => void (await Promise.all(nodes.map(node => node.stop()))) }
    },
  },
  { label: 'ticketgate on redis', start: count => startGatesOnRedis({ directory, users }, count) },
]

const starters: Readonly<Record<Exclude<TargetName, 'ticketgate'>, (stage: Stage) => Promise<Target>>> = {
  floor: startFloor,
  express: startExpress,
  fastify: startFastify,
  go: startGo,
  redis: startRedis,
  'ticketgate on redis': startTicketgateOnRedis,
  socketio: startSocketIo,
}

/**
 * Starts the targets. A peer that lacks something is left out; ticketgate and the floor are
 * required.
 */
export const startTargets = async (
  names: readonly TargetName[],
  directory: string,
  users: Users,
): Promise<{ targets: Target[]; missing: Missing[] }> => {
  // Always started, because the floor copies its replies.
  const ticketgate = await startTicketgate(directory, users)
  const stage = { directory, users, replies: await recordReplies(ticketgate) }
  const targets: Target[] = []
  const missing: Missing[] = []
  for (const name of names) {
    if (name === 'ticketgate') {
      targets.push(ticketgate)
      continue
    }
    try {
      targets.push(await starters[name](stage))
    } catch (error) {
      if (name === 'floor') throw error
      missing.push({ name, reason: (error as Error).message })
    }
  }
  if (!names.includes('ticketgate')) await ticketgate.stop()
  return { targets, missing }
}
