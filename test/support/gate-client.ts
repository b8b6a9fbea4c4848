import type { Test } from 'tap'
import WebSocket from 'ws'
import { type Connection, type ConnectOptions, connect, type Events } from '../../src/client/index.js'
import type { Json } from './http.js'
import { tokenFor } from './tokens.js'

type Heard = {
  [Name in keyof Events<unknown>]: { name: Name; event: Events<unknown>[Name] }
}[keyof Events<unknown>]

const names = ['state', 'open', 'message', 'renewed', 'retry', 'lost', 'close'] as const

/**
 * A connection that records all its events in order, so that tests miss none and need not sleep.
 */
export interface Recorded extends Connection {
  readonly heard: readonly Heard[]
  /** The next unread event of this name. */
  next<Name extends keyof Events<unknown>>(name: Name): Promise<Events<unknown>[Name]>
  /** The arguments of `getToken`. */
  readonly asked: readonly boolean[]
  /** Every presented ticket. */
  readonly tickets: readonly string[]
  /** Every URL of an opened socket. */
  readonly urls: readonly string[]
}

export interface RecordedOptions extends Partial<ConnectOptions> {
  readonly user?: string
  readonly claims?: Json
}

/** Connects like a page, using `ws`, until the test ends. */
export function connectTo(t: Test, url: string, options: RecordedOptions = {}): Recorded {
  const { user = 'maggie', claims = {}, ...given } = options
  const asked: boolean[] = []
  const tickets: string[] = []
  const urls: string[] = []
  class Spy extends WebSocket {
    constructor(at: string, protocols: string[]) {
      super(at, protocols)
      urls.push(at)
      tickets.push(...protocols.filter(name => name.startsWith('ticket.')))
    }
  }
  const connection = connect({
    url,
    minDelayMs: 20,
    maxDelayMs: 200,
    ...given,
    WebSocket: given.WebSocket ?? Spy,
    ...(given.getTicket !== undefined
      ? {}
      : {
          getToken(request) {
            asked.push(request.fresh)
            return given.getToken === undefined ? tokenFor(user, claims) : given.getToken(request)
          },
        }),
  })
  t.teardown(() => connection.close())

  const heard: Heard[] = []
  const taken = new Set<Heard>()
  const waiting: (() => void)[] = []
  for (const name of names)
    connection.on(name, event => {
      heard.push({ name, event } as Heard)
      for (const wake of waiting.splice(0)) wake()
    })
  return Object.defineProperties(
    {
      heard,
      asked,
      tickets,
      urls,
      async next(name: Heard['name']) {
        for (;;) {
          const found = heard.find(each => each.name === name && !taken.has(each))
          if (found !== undefined) {
            taken.add(found)
            return found.event
          }
          await new Promise<void>(resolve => waiting.push(resolve))
        }
      },
    },
    Object.getOwnPropertyDescriptors(connection),
  ) as unknown as Recorded
}
