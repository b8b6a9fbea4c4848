import type { RequestHead } from '../../http/request.js'
import type { Reply, Route, StreamReply } from '../../http/server.js'
import type { Guard } from './guard.js'

/** A route of the admin listener, before the guard is added. */
export interface AdminRoute {
  readonly path: string
  readonly methods: Route<undefined>['methods']
  /** Other header fields that it reads, in lower case. */
  readonly headers?: ReadonlySet<string>
  readonly handler: (head: RequestHead, body: Buffer) => Promise<Reply | StreamReply>
}

/** Adds the guard to a route. */
export const guarded = (guard: Guard, { handler, ...route }: AdminRoute): Route<undefined> => ({
  ...route,
  // Checked before the body is read, so that nobody can send one without the key.
  context({ head }) {
    guard(head)
    return undefined
  },
  handler: (head, _context, body) => handler(head, body),
})
