import type { RequestHead } from '../../http/request.js'
import type { Reply, Route, StreamReply } from '../../http/server.js'
import type { Guard } from './guard.js'

/** A route of the admin listener, before the guard is put in front of it. */
export interface AdminRoute {
  readonly path: string
  readonly methods: Route<undefined>['methods']
  /** Further header fields that it reads, in lower case. */
  readonly headers?: ReadonlySet<string>
  readonly handler: (head: RequestHead, body: Buffer) => Promise<Reply | StreamReply>
}

/** Puts the guard in front of a route. */
export const guarded = (guard: Guard, { handler, ...route }: AdminRoute): Route<undefined> => ({
  ...route,
  // Before the body is read: who may not send one need not be listened to.
  context({ head }) {
    guard(head)
    return undefined
  },
  handler: (head, _context, body) => handler(head, body),
})
