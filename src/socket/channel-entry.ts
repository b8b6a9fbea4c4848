import { isChannelName, routes, subprotocol } from '../protocol.js'
import { type Encoding, encodings } from '../wire/encoding.js'
import type { Entry } from './handshake.js'

/** What is spoken on a socket, by its subprotocol. */
const encodingOf: ReadonlyMap<string, Encoding> = new Map([
  [subprotocol.json, encodings.json],
  [subprotocol.msgpack, encodings.msgpack],
])

/** How a handshake asks for a channel of the gate's own: `/channel/NAME`. */
export const channelEntry: Entry = {
  pathRefusal: path => (isChannelName(path.slice(routes.channel.length)) ? undefined : 'channel_invalid'),
  channelOf: path => path.slice(routes.channel.length),
  protocolOf: offered => offered.find(name => encodingOf.has(name)),
  encodingOf: protocol => encodingOf.get(protocol) ?? encodings.json,
}
