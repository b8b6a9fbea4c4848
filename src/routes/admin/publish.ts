import { Refusal } from '../../errors.js'
import { mediaTypeOf } from '../../http/body.js'
import { channelDetail } from '../../http/problem.js'
import type { RequestHead } from '../../http/request.js'
import { refuseUnknown } from '../../http/unknown-names.js'
import { type EncodingName, isChannelName, routes } from '../../protocol.js'
import type { Control } from '../../socket/control.js'
import { encodings } from '../../wire/encoding.js'
import type { Publication } from '../../wire/relay.js'
import type { AdminRoute } from './admin-route.js'

/** `POST /publish`: publishes to all subscribers of a channel. */
export const publishRoute = (control: Pick<Control, 'publish'>): AdminRoute => ({
  path: routes.publish,
  methods: ['POST'],
  async handler(head, body) {
    refuseUnknown('parameter', new URLSearchParams(head.query).keys(), [])
    const delivered = await control.publish(readPublications(head, body))
    return { body: JSON.stringify({ delivered }) }
  },
})

const encodingOfType: Readonly<Record<string, EncodingName>> = {
  '': 'json',
  'application/json': 'json',
  'application/msgpack': 'msgpack',
  'application/vnd.msgpack': 'msgpack',
}

/** Reads one `{channel, data}`, or a list of them. Checks all of them before any is published. */
function readPublications(head: RequestHead, body: Buffer): readonly Publication[] {
  const type = mediaTypeOf(head.contentType)
  const encoding = Object.hasOwn(encodingOfType, type) ? encodingOfType[type] : undefined
  if (encoding === undefined)
    throw new Refusal('unsupported_media_type', {
      detail: 'Send the body as Content-Type: application/json or application/msgpack.',
    })
  const messages = encodings[encoding].readAll(body)
  if (messages === undefined)
    throw new Refusal('bad_request', { detail: 'The body must be {channel, data}, or a list of them.' })
  return messages.map(({ channel, data, others }) => {
    if (others > 0)
      throw new Refusal('bad_request', {
        detail: 'A message has the members channel and data only, each once.',
      })
    if (typeof channel !== 'string' || data === undefined)
      throw new Refusal('bad_request', { detail: 'A message needs a channel and data.' })
    if (!isChannelName(channel)) throw new Refusal('channel_invalid', { detail: channelDetail })
    // Copies the bytes: a view would take the whole body along to other threads.
    return { type: 'publish', channel, encoding, data: new Uint8Array(data) }
  })
}
