import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { address, startChild } from './child.js'
import { secret } from './secret.js'
import { type Environment, peer, type Stage } from './stage.js'
import type { Target } from './target.js'
import { tokenSource } from './tokens.js'
import { floorWire } from './wires.js'

/** Starts the raw uWS server that checks nothing and replies with the same bytes as ticketgate. */
export const startFloor = async (stage: Stage, more: Environment = {}): Promise<Target> => {
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
