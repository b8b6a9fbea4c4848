import { createHash, timingSafeEqual } from 'node:crypto'
import { Refusal } from '../errors.js'
import type { Metrics } from '../ops/metrics.js'
import { routes } from '../protocol.js'
import type { RequestHead } from './request.js'
import type { Reply, Route } from './server.js'

export interface AdminParts {
  /** Demanded as `Authorization: Bearer`; undefined = none, on loopback in development. */
  readonly key: string | undefined
  readonly metrics: Metrics
  readonly connections: () => Promise<Readonly<Record<string, number>>>
}

/** The routes of the admin listener. */
export function adminRoutes({ key, metrics, connections }: AdminParts): Route<undefined>[] {
  const guard = key === undefined ? () => {} : keyGuard(key)
  const get = (path: string, answer: () => Reply | Promise<Reply>): Route<undefined> => ({
    path,
    methods: ['GET'],
    context: () => undefined,
    handler(head) {
      guard(head)
      return answer()
    },
  })
  return [
    get(routes.metrics, async () => ({ contentType: metrics.contentType, body: await metrics.render() })),
    get(routes.connections, async () => ({ body: JSON.stringify(await connections()) })),
  ]
}

/** Compares digests, so that neither time nor length tells anything of the key. */
function keyGuard(key: string): (head: RequestHead) => void {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  const expected = digest(`Bearer ${key}`)
  return head => {
    const given = digest(head.authorization.replace(/^bearer +/i, 'Bearer '))
    if (timingSafeEqual(given, expected)) return
    throw new Refusal('admin_key_invalid', {
      detail: 'Send the admin key as Authorization: Bearer.',
      headers: { 'www-authenticate': 'Bearer realm="ticketgate admin"' },
    })
  }
}
