import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { startProgram } from '../support/redis.js'

export interface Arrival {
  readonly path: string
  /** Names and values as they arrived; a name may occur more than once. */
  readonly headers: readonly (readonly [name: string, value: string])[]
}

export interface Upstream {
  readonly port: number
  /** The next request that reaches it. None is skipped, so this also shows that no other came. */
  next(): Promise<Arrival>
}

/** A WebSocket server that we did not write. */
export const startUpstream = async (t: Test): Promise<Upstream> => {
  const { child } = await startProgram(t, 'python3', [
    new URL('./websocket-server.py', import.meta.url).pathname,
  ])
  if (child.stdout === null) throw new Error('no output')
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => {
    const { done, value } = await lines.next()
    if (done) throw new Error('the upstream has ended')
    return JSON.parse(value)
  }
  const { port } = await next()
  return { port, next }
}
