import { isChannelName, routes, subprotocol } from '../protocol.js'
import { type Encoding, encodings } from '../wire/encoding.js'
import type { Entry } from './handshake.js'

/** The encoding of a socket, by its subprotocol. */
const encodingOf: ReadonlyMap<string, Encoding> = new Map([
  [subprotocol.json, encodings.json],
  [subprotocol.msgpack, encodings.msgpack],
])

/** The checks of a handshake that are specific to the gate's own channels: `/channel/NAME`. */
export const channelEntry: Entry = {
  pathRefusal: path => (isChannelName(path.slice(routes.channel.length)) ? undefined : 'channel_invalid'),
  channelOf: path => path.slice(routes.channel.length),
  protocolOf: offered => offered.find(name => encodingOf.has(name)),
  encodingOf: protocol => encodingOf.get(protocol) ?? encodings.json,
}
