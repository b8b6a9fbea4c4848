import autocannon from 'autocannon'
import { type DriverRun, measure, startRun } from '../figures/cpu.js'
import { cpuSample, type Row } from '../figures/sample.js'
import type { Target } from '../targets/target.js'
import type { Scenario } from './scenario.js'

const connections = 32
const requestsPerConnection = 600 // of a target with a whole share
const pipelining = 10

const bearer = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` })

const verify = (result: autocannon.Result, expected: number): void => {
  if (result.errors === 0 && result.non2xx === 0 && result['2xx'] >= expected) return
  const statuses = Object.entries(result.statusCodeStats).map(([status, { count }]) => `${status} ×${count}`)
  throw new Error(
    `expected ${expected} answers of 200, got ${statuses.join(', ') || 'none'}, and ${result.errors} connection errors`,
  )
}

/**
 * autocannon writes each request when the previous response arrives, so the server would mostly
 * read them one by one. Requests that become due in one turn go out in one write, as a pipelining
 * client sends them.
 */
const sendTogether = ({ conn }: autocannon.Client): void => {
  conn.cork()
  process.nextTick(() => conn.uncork())
}

type Shape = Pick<autocannon.Options, 'pipelining' | 'method' | 'headers' | 'body' | 'setupClient'> & {
  /** Another URL than that of the tickets for tokens. */
  readonly url?: string
  readonly ticketsPerRequest?: number
}

const drive = async (
  target: Target,
  { ticketsPerRequest = 1, ...load }: Shape,
  requests: number,
): Promise<DriverRun> => {
  let finish: ReturnType<typeof startRun> | undefined
  let run: Omit<DriverRun, 'operations'> | undefined
  const cannon = autocannon({
    url: `http://${target.host}:${target.port}/ws_ticket`,
    connections,
    amount: connections * requests,
    sampleInt: 50,
    ...load,
    setupClient: client => {
      load.setupClient?.(client)
      if (load.pipelining > 1) client.on('headers', () => sendTogether(client))
      // autocannon notices only at its next tick that it is done. Take the time when the last
      // connection ends.
      client.on('done', () => {
        run = finish?.(0)
      })
    },
  })
  cannon.once('start', () => {
    finish = startRun() // after all requests are prepared in memory, which is not part of the load
  })
  const result = await cannon
  // A connection ends when its last request is answered, while up to pipelining - 1 responses are
  // still on their way.
  verify(result, connections * (requests - load.pipelining + 1))
  if (run === undefined) throw new Error('the load ended before it had begun')
  return { ...run, operations: result['2xx'] * ticketsPerRequest }
}

/** Gives each connection its own share of the tokens, each used once. */
const newTokens = (tokens: readonly string[], requests: number): NonNullable<Shape['setupClient']> => {
  let next = 0
  return client => {
    const share = tokens.slice(next, next + requests)
    next += requests
    client.setRequests(share.map(token => ({ headers: bearer(token) })))
  }
}

const rows: readonly Row[] = [
  { name: 'ticket', unit: 'server CPU, µs' },
  { name: 'ticket, pipelined', unit: 'server CPU, µs' },
  { name: 'ticket, new token', unit: 'server CPU, µs' },
  { name: 'ticket, by the admin API', unit: 'server CPU, µs', comparedWith: 'ticket' },
  { name: 'ticket, by the admin API, in lists', unit: 'server CPU, µs', comparedWith: 'ticket' },
]

/** The maximum length of a list. */
const listLength = 100

/**
 * Tickets by `POST /tickets`, single and in lists. Empty for a target without an admin listener.
 */
const adminShapes = ({ host, admin }: Target): Readonly<Record<string, Shape>> => {
  if (admin === undefined) return {}
  const ticket = { user: 'bench', sessionSeconds: 900 }
  const shape = (body: unknown): Shape => ({
    pipelining: 1,
    url: `http://${host}:${admin.port}/tickets`,
    method: 'POST',
    headers: { ...bearer(admin.key), 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return {
    'ticket, by the admin API': shape(ticket),
    'ticket, by the admin API, in lists': {
      ...shape(Array.from({ length: listLength }, () => ticket)),
      ticketsPerRequest: listLength,
    },
  }
}

/** `GET /ws_ticket`, and `POST /tickets` if available, over 32 keep-alive connections. */
export const ticketScenario: Scenario = {
  name: 'ticket',
  rows,
  prepare: async (target, count) => {
    const requests = Math.max(2 * pipelining, count(requestsPerConnection))
    const [token = '', ...unseen] = target.tokens(1 + connections * requests)
    const shapes: Readonly<Record<string, Shape>> = {
      ticket: { pipelining: 1, headers: bearer(token) },
      'ticket, pipelined': { pipelining, headers: bearer(token) },
      'ticket, new token': { pipelining: 1, setupClient: newTokens(unseen, requests) },
      ...adminShapes(target),
    }
    return new Map(
      Object.entries(shapes).map(([row, shape]) => [
        row,
        async () => {
          const each = Math.max(2, Math.ceil(requests / (shape.ticketsPerRequest ?? 1)))
          return cpuSample(await measure(target.pids, () => drive(target, shape, each)))
        },
      ]),
    )
  },
}
