import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { Random } from './random.js'
import { randomStream } from './random-requests.js'
import { RawConnection } from './raw.js'
import type { TestServer } from './server.js'
import { mint, tokenFor } from './tokens.js'

export interface Attack {
  readonly server: TestServer
  readonly seed: number
  /** Ends after this many connections, */
  readonly connections?: number | undefined
  /** or after this time. */
  readonly seconds?: number | undefined
  /** Attacks the admin listener in one of this many connections; 0 = never. */
  readonly adminOneIn?: number
}

export interface Tally {
  readonly connections: number
  /** Request heads that were sent. */
  readonly requests: number
  readonly answers: number
  /** Handshakes accepted. */
  readonly opened: number
  /** Tickets presented, some of them many times. */
  readonly tickets: number
}

const atOnce = 16

/**
 * Opens connections to a server that each send a random sequence of requests, valid and not, cut
 * and pipelined at random, read slowly or not at all, and hung up on at random. The same seed sends
 * the same. Returns early when the server ends.
 */
export async function attack({ server, seed, connections, seconds, adminOneIn = 8 }: Attack): Promise<Tally> {
  const tally = { connections: 0, requests: 0, answers: 0, opened: 0, tickets: 0 }
  const until = seconds === undefined ? Number.POSITIVE_INFINITY : performance.now() + seconds * 1000
  let hasEnded = false
  void server.exited.then(() => {
    hasEnded = true
  })
  const isOver = (): boolean =>
    hasEnded || performance.now() >= until || tally.connections >= (connections ?? Number.POSITIVE_INFINITY)
  const tickets = new TicketPool(server)

  const worker = async (): Promise<void> => {
    while (!isOver()) {
      const random = new Random(seed + tally.connections++)
      const isAdmin = adminOneIn > 0 && random.oneIn(adminOneIn)
      await tickets.refill()
      const stream = randomStream(random, {
        isAdmin,
        token: tickets.token,
        ticket: () => tickets.take(random),
      })
      tally.requests += count(Buffer.concat(stream).toString('latin1'), ' HTTP/1.1\r\n')
      const connection = await RawConnection.connect(isAdmin ? server.admin : server.url).catch(
        () => undefined,
      )
      if (connection === undefined) continue
      await converse(connection, stream, random)
      tally.answers += count(connection.rest, 'HTTP/1.1 ')
      tally.opened += count(connection.rest, 'HTTP/1.1 101 ')
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return { ...tally, tickets: tickets.taken }
}

const count = (text: string, part: string): number => text.split(part).length - 1

/** A supply of valid tickets. */
class TicketPool {
  readonly token = tokenFor('maggie')
  readonly #server: TestServer
  readonly #fresh: string[] = []
  #last = 'AAAA'
  #refilling: Promise<void> | undefined
  taken = 0

  constructor(server: TestServer) {
    this.#server = server
  }

  /** Returns a fresh ticket, or the last one again. */
  take(random: Random): string {
    const ticket = random.oneIn(4) ? undefined : this.#fresh.pop()
    if (ticket === undefined) return this.#last
    this.taken++
    this.#last = ticket
    return ticket
  }

  async refill(): Promise<void> {
    if (this.#fresh.length > 20) return
    this.#refilling ??= this.#mint()
    await this.#refilling
  }

  async #mint(): Promise<void> {
    const minted = Array.from({ length: 40 }, () => mint(this.#server.url).catch(() => undefined))
    for (const ticket of await Promise.all(minted)) if (ticket !== undefined) this.#fresh.push(ticket)
    this.#refilling = undefined
  }
}

/**
 * Sends a stream whole, in its parts or cut at random; may wait, may not read, and hangs up in a
 * random way.
 */
async function converse(connection: RawConnection, parts: readonly Buffer[], random: Random): Promise<void> {
  const { socket } = connection
  if (random.oneIn(8)) socket.pause()
  const isPolite = parts.length > 1 && random.oneIn(2)
  for (const piece of isPolite ? parts : cut(Buffer.concat(parts), random)) {
    if (!connection.isOpen) break
    connection.write(piece)
    if (isPolite) await connection.hears(20)
    else await pause(random)
  }
  const ending = random.below(8)
  if (ending < 3) await Promise.race([connection.closed, delay(random.below(60))])
  socket.resume()
  if (ending === 3) connection.reset()
  else if (ending === 4) connection.destroy()
  else socket.end()
  await Promise.race([connection.closed, delay(300)])
  connection.destroy()
}

function cut(stream: Buffer, random: Random): Buffer[] {
  const cuts = random.oneIn(2) ? 0 : random.below(random.oneIn(6) ? 60 : 4)
  const offsets = Array.from({ length: cuts }, () => random.below(stream.length + 1)).sort((a, b) => a - b)
  return [...offsets, stream.length].map((to, index) => stream.subarray(offsets[index - 1] ?? 0, to))
}

async function pause(random: Random): Promise<void> {
  const kind = random.below(6)
  if (kind === 0) await delay(random.below(4))
  else if (kind < 4) await nextTurn()
}
