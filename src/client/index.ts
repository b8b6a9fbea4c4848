// client/: `ticketgate/client`, for browsers. It imports only the names on the wire.

export { connect } from './connect.js'
export type { Connection, ConnectOptions, Events, Retry, ServerOptions, State } from './connection.js'
export type { Credential, TokenRequest } from './credentials.js'
export { GateError, type Remedy } from './gate-error.js'
export type { Message, Welcome } from './messages.js'
export type { Fetch, Socket, SocketClass } from './platform.js'
export { createTicketSource, type TicketSource, type TicketSourceOptions } from './ticket-source.js'
export { type HandledSocket, type HandledSocketClass, ticketedWebSocket } from './ticketed-web-socket.js'
