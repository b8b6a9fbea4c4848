import { createHash, timingSafeEqual } from 'node:crypto'
import { isIPv4, isIPv6 } from 'node:net'
import { Refusal } from '../errors.js'
import { mediaTypeOf, parseJsonObject } from '../http/body.js'
import { channelDetail } from '../http/problem.js'
import type { RequestHead } from '../http/request.js'
import type { Reply, Route } from '../http/server.js'
import { refuseUnknown } from '../http/unknown-names.js'
import { type EncodingName, isChannelName, isSessionId, isUserName, routes } from '../protocol.js'
import type { Control, Subject } from '../socket/control.js'
import type { Metrics } from '../telemetry/metrics.js'
import { encodings } from '../wire/encoding.js'
import type { Publication } from '../wire/relay.js'

export interface AdminParts {
  /** Demanded as `Authorization: Bearer`; undefined = none, on loopback in development. */
  readonly key: string | undefined
  readonly metrics: Metrics
  readonly connections: () => Promise<Readonly<Record<string, number>>>
  readonly control: Pick<Control, 'disconnect' | 'publish' | 'published'>
}

/** The routes of the admin listener. */
export function adminRoutes({ key, metrics, connections, control }: AdminParts): Route<undefined>[] {
  const guard = key === undefined ? refusePages : keyGuard(key)
  const route = (
    path: string,
    method: 'GET' | 'POST',
    answer: (head: RequestHead, body: Buffer) => Promise<Reply>,
  ): Route<undefined> => ({
    path,
    methods: method === 'GET' ? ['GET', 'HEAD'] : [method],
    // Before the body is read: who may not send one need not be listened to.
    context({ head }) {
      guard(head)
      return undefined
    },
    handler: (head, _context, body) => answer(head, body),
  })
  return [
    route(routes.metrics, 'GET', async () => ({
      contentType: metrics.contentType,
      body: await metrics.render(),
    })),
    route(routes.connections, 'GET', async () => ({ body: JSON.stringify(await connections()) })),
    route(routes.publish, 'POST', async (head, body) => {
      const delivered = await control.publish(readPublications(head, body))
      return { body: JSON.stringify({ delivered }) }
    }),
    route(routes.disconnect, 'POST', async (head, body) => {
      const disconnected = await control.disconnect(readSubject(parseJsonObject(body, head.contentType)))
      return { body: JSON.stringify({ disconnected }) }
    }),
  ]
}

/**
 * Without a key any page that the developer visits could publish and disconnect: browsers name it with every POST. And it
 * could read the rest, once its own name leads here (DNS rebinding): that name is in `Host` then.
 */
function refusePages({ origin, host }: RequestHead): void {
  if (origin !== '') throw new Refusal('origin_forbidden', { detail: 'This listener is not for web pages.' })
  if (!isAddressOrLocalhost(host))
    throw new Refusal('origin_forbidden', {
      detail: 'Without an admin key this listener answers by IP address or as localhost only.',
    })
}

/** Whether a `Host` is a name that nobody can lead elsewhere. */
function isAddressOrLocalhost(host: string): boolean {
  const name = host.replace(/:\d*$/, '')
  const bracketed = /^\[(.*)\]$/.exec(name)?.[1]
  return bracketed === undefined ? isIPv4(name) || name.toLowerCase() === 'localhost' : isIPv6(bracketed)
}

const encodingOfType: Readonly<Record<string, EncodingName>> = {
  '': 'json',
  'application/json': 'json',
  'application/msgpack': 'msgpack',
  'application/vnd.msgpack': 'msgpack',
}

/** One `{channel, data}`, or a list of them. All are looked at before any is sent. */
function readPublications(head: RequestHead, body: Buffer): readonly Publication[] {
  const type = mediaTypeOf(head.contentType)
  const encoding = Object.hasOwn(encodingOfType, type) ? encodingOfType[type] : undefined
  if (encoding === undefined)
    throw new Refusal('unsupported_media_type', {
      detail: 'Send the body as Content-Type: application/json or application/msgpack.',
    })
  const messages = encodings[encoding].readAll(body)
  if (messages === undefined)
    throw new Refusal('bad_request', { detail: 'The body must be {channel, data}, or a list of these.' })
  return messages.map(({ channel, data }) => {
    if (typeof channel !== 'string' || data === undefined)
      throw new Refusal('bad_request', { detail: 'A message needs a channel and data.' })
    if (!isChannelName(channel)) throw new Refusal('channel_invalid', { detail: channelDetail })
    // Its own bytes: a view would take the whole body along to other threads.
    return { type: 'publish', channel, encoding, data: new Uint8Array(data) }
  })
}

function readSubject(members: Readonly<Record<string, unknown>>): Subject {
  refuseUnknown('member', Object.keys(members), ['user', 'session'])
  const { user, session } = members
  if (typeof user === 'string' && isUserName(user) && session === undefined) return { user }
  if (typeof session === 'string' && isSessionId(session) && user === undefined) return { session }
  throw new Refusal('bad_request', { detail: 'The body must be {"user": "…"} or {"session": "…"}.' })
}

/** Compares digests, so that neither time nor length tells anything of the key. */
function keyGuard(key: string): (head: RequestHead) => void {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  const expected = digest(`Bearer ${key}`)
  return ({ authorization }) => {
    const given = digest(authorization.replace(/^bearer +/i, 'Bearer '))
    if (timingSafeEqual(given, expected)) return
    throw new Refusal('admin_key_invalid', {
      detail: 'Send the admin key as Authorization: Bearer.',
      headers: { 'www-authenticate': 'Bearer realm="ticketgate admin"' },
    })
  }
}
