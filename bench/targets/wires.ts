import { frameHex } from '../drivers/opener.js'
import { takeTickets } from '../drivers/tickets.js'
import type { Target, Wire } from './target.js'

const publish = (data: string, id?: number): string =>
  JSON.stringify({ type: 'publish', data, ...(id === undefined ? {} : { id }) })

const pipelinesTickets = ({ cannot }: Target): boolean => cannot['ticket, pipelined'] === undefined

/** ticketgate's own protocol. The peers speak the part that the bench uses. */
export const ticketWire: Wire = {
  lines: async (target, count, channel = '') =>
    (await takeTickets(target, count, pipelinesTickets(target) ? 32 : 1)).map(
      ticket => `/channel/${channel}?ticket=${ticket}`,
    ),
  greetingFrames: 1,
  publication: publish,
}

/** The same sizes for the floor. The first byte tells it what to do. */
export const floorWire: Wire = {
  ...ticketWire,
  publication: (data, id) => (id === undefined ? publish(data) : `a${publish(data, id).slice(1)}`),
}

/**
 * Socket.IO 4 over Engine.IO 4: its `open` packet, our connect with the token, its reply, and our
 * `welcome`.
 */
export const socketIoWire: Wire = {
  lines: async (target, count, channel = '') =>
    target
      .tokens(count)
      .map(token => JSON.stringify({ token, channel }))
      .map(auth => `/socket.io/?EIO=4&transport=websocket\t${frameHex(`40${auth}`)}`),
  greetingFrames: 3,
  publication: (data, id) => `42${id ?? ''}${JSON.stringify(['publish', data])}`,
}

/** The published message: 64 bytes. */
export const payload = 'x'.repeat(64)
