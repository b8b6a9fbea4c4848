import { connect } from 'node:net'
import { startRun } from '../figures/cpu.js'
import type { Outcome } from './opener.js'

const atOnce = 32

interface Server {
  readonly host: string
  readonly port: number
}

/**
 * Makes one connection: connect, upgrade, read the response, close both sides. Returns the
 * response.
 */
const shake = (server: Server, target: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(server.port, server.host)
    socket.setEncoding('latin1')
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer within 10 s')))
    socket.on('data', (chunk: string) => {
      answer += chunk
      if (!socket.writableEnded && answer.includes('\r\n\r\n')) socket.end()
    })
    socket.once('error', reject)
    socket.once('close', () => resolve(answer))
    socket.write(
      `GET ${target} HTTP/1.1\r\nHost: ${server.host}:${server.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    )
  })

/**
 * Handshakes by Node, 32 at a time, if there is no C compiler for opener.c. It takes about as much
 * CPU as the servers do, so they are further from saturation.
 */
export const handshakeByNode = async (
  server: Server,
  targets: readonly string[],
): Promise<Pick<Outcome, 'run' | 'answers'>> => {
  const answers: Record<string, number> = {}
  const queue = targets.values()
  const finish = startRun()
  const work = async (): Promise<void> => {
    for (const target of queue) {
      const text = await shake(server, target).catch((error: Error) => error.message)
      const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? (text || 'closed without an answer')
      const answer = [status, ...(/"code":"(\w+)"/.exec(text)?.slice(1) ?? [])].join(' ')
      answers[answer] = (answers[answer] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return { run: finish(targets.length), answers }
}
