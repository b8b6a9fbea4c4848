import { Agent, get } from 'node:http'
import { connect } from 'node:net'
import { type DriverRun, measure, startRun } from './cpu.js'
import type { Scenario, Step } from './scenario.js'
import type { Target } from './servers.js'

const concurrency = 32
const handshakes = 4_000

/** Runs `work` for every item, 32 at a time. */
const each = async <T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> => {
  const queue = items.values()
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      for (const item of queue) await work(item)
    }),
  )
}

/** Takes tickets over keep-alive HTTP, before the clock starts. */
const takeTickets = async (target: Target, count: number): Promise<string[]> => {
  const [token = ''] = target.tokens(1)
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency })
  const options = {
    host: target.host,
    port: target.port,
    path: '/ws_ticket',
    agent,
    headers: { authorization: `Bearer ${token}` },
  }
  const take = (): Promise<string> =>
    new Promise((resolve, reject) => {
      get(options, response => {
        let body = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => {
          body += chunk
        })
        response.once('end', () => {
          if (response.statusCode === 200) resolve((JSON.parse(body) as { ticket: string }).ticket)
          else reject(new Error(`/ws_ticket answered ${response.statusCode}: ${body}`))
        })
      }).once('error', reject)
    })
  const tickets: string[] = []
  await each(Array.from({ length: count }), async () => {
    tickets.push(await take())
  })
  agent.destroy()
  return tickets
}

/** What a row must be answered: a status, and for refusals the code in the body. */
interface Answer {
  readonly status: number
  readonly code?: string
}

/** One connection: connect, ask for the upgrade, read the answer, close both ways. Gives all that was answered. */
const shake = (host: string, port: number, ticket: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(port, host)
    socket.setEncoding('latin1')
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer within 10 s')))
    socket.on('data', (chunk: string) => {
      answer += chunk
      if (!socket.writableEnded && answer.includes('\r\n\r\n')) socket.end()
    })
    socket.once('error', reject)
    socket.once('close', () => resolve(answer))
    socket.write(
      `GET /channel/?ticket=${ticket} HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    )
  })

const drive = async (target: Target, tickets: readonly string[], expected: Answer): Promise<DriverRun> => {
  const wrong = new Map<string, number>()
  const statusLine = `HTTP/1.1 ${expected.status} `
  const body = expected.code === undefined ? '' : `"code":"${expected.code}"`
  const finish = startRun()
  await each(tickets, async ticket => {
    const answer = await shake(target.host, target.port, ticket).catch((error: Error) => error.message)
    if (answer.startsWith(statusLine) && answer.includes(body)) return
    const code = /"code":"(\w+)"/.exec(answer)?.[1] ?? ''
    const what = `${answer.split('\r\n', 1)[0] || 'closed without an answer'} ${code}`.trim()
    wrong.set(what, (wrong.get(what) ?? 0) + 1)
  })
  const run = finish(tickets.length)
  if (wrong.size === 0) return run
  const list = [...wrong].map(([what, count]) => `${what} ×${count}`).join(', ')
  throw new Error(
    `expected ${tickets.length} answers of ${expected.status} ${expected.code ?? ''}, but got ${list}`,
  )
}

/** The same ticket with one character of its MAC changed: not the last, whose low bits must be zero. */
const forge = (ticket: string): string => {
  const at = ticket.length - 12
  return ticket.slice(0, at) + (ticket[at] === 'A' ? 'B' : 'A') + ticket.slice(at + 1)
}

/** Connect, upgrade, close, over a new TCP connection each, 32 at a time. */
export const handshakeScenario: Scenario = {
  name: 'handshake',
  rows: [
    { name: 'handshake' },
    { name: 'refused replay', comparedWith: 'handshake' },
    { name: 'refused forgery', comparedWith: 'handshake' },
  ],
  prepare: async target => {
    const tickets = await takeTickets(target, handshakes)
    const step =
      (shown: readonly string[], expected: Answer): Step =>
      () =>
        measure(target.child.pid, () => drive(target, shown, expected))
    const steps = new Map([['handshake', step(tickets, { status: 101 })]])
    if (target.refuses) {
      // The forgeries are of tickets nobody spent, so that only the MAC can give them away.
      const forgeries = (await takeTickets(target, handshakes)).map(forge)
      steps.set('refused replay', step(tickets, { status: 401, code: 'ticket_used' }))
      steps.set('refused forgery', step(forgeries, { status: 401, code: 'ticket_invalid' }))
    }
    return steps
  },
}
