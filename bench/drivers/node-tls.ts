import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect } from 'node:tls'
import { type DriverRun, startRun } from '../figures/cpu.js'

const atOnce = 16

/** A server with TLS on loopback. */
export interface TlsServer {
  readonly host: string
  readonly port: number
  readonly tls: { readonly ca: string }
}

interface Opened {
  readonly socket: Socket
  /** For a connection that resumes the session of this one. */
  readonly session: Buffer | undefined
  readonly isResumed: boolean
}

/** The number of whole frames of a server in `bytes`, all of them short, and what they take. */
const framesIn = (bytes: Buffer): { frames: number; size: number } => {
  let [frames, at] = [0, 0]
  while (at + 2 <= bytes.length) {
    const short = (bytes[at + 1] ?? 0) & 127
    const header = short === 126 ? 4 : 2
    if (bytes.length < at + header) break
    const end = at + header + (short === 126 ? bytes.readUInt16BE(at + 2) : short)
    if (end > bytes.length) break
    at = end
    frames++
  }
  return { frames, size: at }
}

/** Waits for `count` frames. */
const awaitFrames = async (socket: Socket, count: number, first: Buffer = Buffer.alloc(0)): Promise<void> => {
  let bytes = first
  for (let missing = count; ; ) {
    const { frames, size } = framesIn(bytes)
    missing -= frames
    bytes = bytes.subarray(size)
    if (missing <= 0) return
    const [chunk] = await once(socket, 'data', { signal: AbortSignal.timeout(15_000) })
    bytes = Buffer.concat([bytes, chunk])
  }
}

/** Connects, upgrades and waits for the greeting, one frame. */
const open = async (server: TlsServer, line: string, session?: Buffer): Promise<Opened> => {
  const { host, port, tls } = server
  const socket = connect({ host, port, ca: tls.ca, ...(session === undefined ? {} : { session }) })
  let latest: Buffer | undefined
  socket.on('session', one => {
    latest = one
  })
  await once(socket, 'secureConnect')
  socket.setNoDelay()
  socket.write(
    `GET ${line} HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  )
  let answer = Buffer.alloc(0)
  while (!answer.includes('\r\n\r\n'))
    answer = Buffer.concat([answer, (await once(socket, 'data', { signal: AbortSignal.timeout(15_000) }))[0]])
  if (!answer.toString('latin1').startsWith('HTTP/1.1 101'))
    throw new Error(`a handshake was answered ${answer.toString('latin1').split('\r\n', 1)[0]}`)
  await awaitFrames(socket, 1, answer.subarray(answer.indexOf('\r\n\r\n') + 4))
  return { socket, session: latest, isResumed: socket.isSessionReused() }
}

const close = async (socket: Socket): Promise<void> => {
  const closed = once(socket, 'close')
  socket.end()
  await closed
}

/**
 * Opens and closes a socket over TLS for each line, 16 at a time: each with a full handshake, or
 * each resuming one session. Throws if a connection did otherwise.
 */
export const shakeOverTls = async (
  server: TlsServer,
  lines: readonly string[],
  resumes: boolean,
): Promise<DriverRun> => {
  const queue = lines.values()
  let session: Buffer | undefined
  if (resumes) {
    const first = await open(server, queue.next().value ?? '')
    session = first.session
    await close(first.socket)
    if (session === undefined) throw new Error('the server gave no session to resume')
  }
  const finish = startRun()
  let operations = 0
  const work = async (): Promise<void> => {
    for (const line of queue) {
      const { socket, isResumed } = await open(server, line, session)
      if (isResumed !== resumes) throw new Error(`a session was ${isResumed ? '' : 'not '}resumed`)
      await close(socket)
      operations++
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return finish(operations)
}

/** Each socket sends `frames` and waits for `answers` frames, `times` times. */
export const exchangeOverTls = async (
  server: TlsServer,
  lines: readonly string[],
  { frames, answers, times }: { frames: Buffer; answers: number; times: number },
  measured: (run: () => Promise<DriverRun>) => Promise<unknown>,
): Promise<void> => {
  const opened = await Promise.all(lines.map(line => open(server, line)))
  await measured(async () => {
    const finish = startRun()
    const work = async ({ socket }: Opened): Promise<void> => {
      for (let n = 0; n < times; n++) {
        socket.write(frames)
        await awaitFrames(socket, answers)
      }
    }
    await Promise.all(opened.map(work))
    return finish(opened.length * times * answers)
  })
  await Promise.all(opened.map(({ socket }) => close(socket)))
}
