import type { RequestHead } from '../../http/request.js'
import type { Reply, Route } from '../../http/server.js'
import type { Guard } from './guard.js'

/** A route of the admin listener, before the guard is put in front of it. */
export interface AdminRoute {
  readonly path: string
  readonly method: 'GET' | 'POST'
  readonly handler: (head: RequestHead, body: Buffer) => Promise<Reply>
}

/** Puts the guard in front of a route. */
export const guarded = (guard: Guard, { path, method, handler }: AdminRoute): Route<undefined> => ({
  path,
  methods: method === 'GET' ? ['GET', 'HEAD'] : [method],
  // Before the body is read: who may not send one need not be listened to.
  context({ head }) {
    guard(head)
    return undefined
  },
  handler: (head, _context, body) => handler(head, body),
})
