import { once } from 'node:events'
import { createConnection, createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { reset } from './reset.js'

/** A network between two programs, which a test can disturb. */
export interface TcpRelay {
  readonly port: number
  /** Drops everything silently; bytes in flight are lost. */
  drop(): void
  /** Drops replies silently; requests still arrive. */
  dropReplies(): void
  /** Delays everything by this long, in order. */
  delay(ms: number): void
  /** Resets connections, new ones too. */
  cut(): void
  /** New connections go to another port; old ones are reset. */
  redirect(port: number): void
  /** Makes the network work again; connections that lost bytes are reset. */
  restore(): void
}

export const startRelay = async (t: Test, firstPort: number): Promise<TcpRelay> => {
  let mode: 'pass' | 'drop' | 'dropReplies' | 'cut' = 'pass'
  let delayMs = 0
  let targetPort = firstPort
  const pairs = new Set<readonly [Socket, Socket]>()

  const pump = (from: Socket, to: Socket, isReply: boolean): void => {
    let held = 0
    let last = Promise.resolve()
    const hold = async (chunk: Buffer, dueMs: number, before: Promise<void>): Promise<void> => {
      held++
      await before
      await pause(Math.max(0, dueMs - performance.now()))
      held--
      if (!to.destroyed) to.write(chunk)
    }
    from.on('data', chunk => {
      if (mode === 'drop' || (mode === 'dropReplies' && isReply)) return
      if (delayMs === 0 && held === 0) to.write(chunk)
      else last = hold(chunk, performance.now() + delayMs, last)
    })
    from.on('error', () => {})
    from.once('close', () => to.destroy())
  }

  const server = createServer(client => {
    if (mode === 'cut') return void reset(client)
    const target = createConnection(targetPort, '127.0.0.1')
    const pair = [client, target] as const
    pairs.add(pair)
    client.once('close', () => pairs.delete(pair))
    pump(client, target, false)
    pump(target, client, true)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const resetAll = (): void => {
    for (const [client] of pairs) reset(client)
  }
  t.teardown(() => {
    resetAll()
    server.close()
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    drop() {
      mode = 'drop'
    },
    dropReplies() {
      mode = 'dropReplies'
    },
    delay(ms) {
      delayMs = ms
    },
    cut() {
      mode = 'cut'
      resetAll()
    },
    redirect(port) {
      targetPort = port
      resetAll()
    },
    restore() {
      if (mode !== 'pass') resetAll()
      mode = 'pass'
      delayMs = 0
    },
  }
}
