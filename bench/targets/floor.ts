import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { address, startChild } from './child.js'
import { secret } from './secret.js'
import { type Environment, peer, type Stage } from './stage.js'
import type { Target } from './target.js'
import { tokenSource } from './tokens.js'
import { floorWire, ticketWire } from './wires.js'

/** Starts the raw uWS server that checks nothing and replies with the same bytes as ticketgate. */
export const startFloor = (stage: Stage, more: Environment = {}): Promise<Target> => {
  const { replies } = stage
  const env = {
    FLOOR_HEADERS: JSON.stringify(replies.headers),
    FLOOR_LOGIN_BODY: replies.loginBody,
    FLOOR_TICKET_BODY: replies.ticketBody,
    FLOOR_WELCOME: replies.welcome,
    FLOOR_MESSAGE: replies.message,
    FLOOR_OK: replies.ok,
    ...more,
  }
  const cannot = { storm: 'it hashes nothing' }
  const another = (env?: Environment) => startFloor(stage, env)
  return start(stage, { name: 'floor', program: 'floor.ts', wire: floorWire, cannot, another }, env)
}

const onlyOpens = 'it only hands out tickets and opens sockets'

/** Starts the same without a header or a subscription. */
export const startBareFloor = (stage: Stage, more: Environment = {}): Promise<Target> => {
  const cannot = { auth: onlyOpens, storm: onlyOpens, 'fan-out': onlyOpens, inbound: onlyOpens }
  const another = (env?: Environment) => startBareFloor(stage, env)
  return start(
    stage,
    { name: 'bare floor', program: 'bare-floor.ts', wire: ticketWire, cannot, another },
    { FLOOR_TICKET_BODY: stage.replies.ticketBody, FLOOR_WELCOME: stage.replies.welcome, ...more },
  )
}

const start = async (
  { directory, replies, users }: Stage,
  { program, ...kind }: Pick<Target, 'name' | 'wire' | 'cannot' | 'another'> & { readonly program: string },
  env: Environment,
): Promise<Target> => {
  const own = mkdtempSync(join(directory, 'floor-'))
  const child = await startChild(
    [process.execPath, '--import=tsx', peer(program)],
    { NODE_ENV: 'production', ...env },
    join(own, 'log'),
  )
  return {
    ...kind,
    child,
    pids: [child.pid],
    ...address(child),
    tokens: tokenSource(replies.token, secret()),
    logins: users.logins,
    share: 1,
    stop: child.stop,
  }
}
