import { spawnSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { address, type Child, startChild } from './child.js'
import { installPackages } from './packages.js'
import { secret } from './secret.js'
import { type Environment, peer, type Stage } from './stage.js'
import { startStore } from './store.js'
import type { Target } from './target.js'
import { plainTokenShape, tokenSource } from './tokens.js'
import { socketIoWire, ticketWire } from './wires.js'

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

export const startExpress = (stage: Stage): Promise<Target> =>
  startNodePeer(stage, { name: 'express', refusals: ticketRefusals, share: 0.25, cannot: {} })

export const startFastify = (stage: Stage): Promise<Target> =>
  startNodePeer(stage, { name: 'fastify', refusals: ticketRefusals, share: 0.25, cannot: {} })

export const startSocketIo = (stage: Stage): Promise<Target> => {
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

export const startGo = async (stage: Stage): Promise<Target> => {
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

export const startRedis = async (stage: Stage): Promise<Target> => {
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
