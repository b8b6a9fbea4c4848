/** The part of autocannon 9 that the bench uses. The package has no types. */
declare module 'autocannon' {
  import type { EventEmitter } from 'node:events'
  import type { Socket } from 'node:net'

  namespace autocannon {
    interface Request {
      headers?: Record<string, string>
    }

    interface Client extends EventEmitter {
      /** Undocumented, but present in 9.0.0, which is pinned. */
      conn: Socket
      /** This connection's requests, in order. Not with pipelining above 1. */
      setRequests(requests: Request[]): void
    }

    interface Options {
      url: string
      connections: number
      pipelining: number
      /** Total requests, spread evenly over the connections. */
      amount: number
      method?: 'GET' | 'POST'
      headers?: Record<string, string>
      body?: string
      /** How often it checks whether it is done, in milliseconds. */
      sampleInt?: number
      setupClient?: (client: Client) => void
    }

    interface Result {
      '2xx': number
      non2xx: number
      /** Connection errors and timeouts. */
      errors: number
      statusCodeStats: Record<string, { count: number }>
    }

    type Run = EventEmitter & PromiseLike<Result>
  }

  function autocannon(options: autocannon.Options): autocannon.Run
  export = autocannon
}
