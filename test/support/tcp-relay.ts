import { once } from 'node:events'
import { createConnection, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

/** A network between two programs that can fail: what it does to the bytes is up to the test. */
export interface TcpRelay {
  readonly port: number
  /** Nothing gets through any more, and nobody is told; bytes that were on their way are lost. */
  drop(): void
  /** What is said arrives, the answers do not. */
  dropAnswers(): void
  /** Everything is held back this long. */
  delay(ms: number): void
  /** Connections are reset, and new ones as well. */
  cut(): void
  /** New connections lead to another port, the old ones are reset. */
  lead(port: number): void
  /** All is well again; connections that lost bytes are reset. */
  heal(): void
}

export const startRelay = async (t: Test, firstPort: number): Promise<TcpRelay> => {
  let mode: 'pass' | 'drop' | 'dropAnswers' | 'cut' = 'pass'
  let delayMs = 0
  let targetPort = firstPort
  const pairs = new Set<readonly [Socket, Socket]>()

  const pump = (from: Socket, to: Socket, isAnswer: boolean): void => {
    from.on('data', chunk => {
      if (mode === 'drop' || (mode === 'dropAnswers' && isAnswer)) return
      if (delayMs === 0) to.write(chunk)
      else setTimeout(() => to.write(chunk), delayMs)
    })
    from.on('error', () => {})
    from.once('close', () => to.destroy())
  }

  const server = createServer(client => {
    if (mode === 'cut') return void client.resetAndDestroy()
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
    for (const [client] of pairs) client.resetAndDestroy()
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
    dropAnswers() {
      mode = 'dropAnswers'
    },
    delay(ms) {
      delayMs = ms
    },
    cut() {
      mode = 'cut'
      resetAll()
    },
    lead(port) {
      targetPort = port
      resetAll()
    },
    heal() {
      if (mode !== 'pass') resetAll()
      mode = 'pass'
      delayMs = 0
    },
  }
}
