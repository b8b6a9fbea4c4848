// The floor: what uWebSockets.js itself costs. It checks nothing, works nothing out and remembers nothing; it
// answers fixed bytes, the same as ticketgate's, so that what lies above it in the table is ours to explain.
import { App, us_socket_local_port } from 'uWebSockets.js'

const setting = (name: string): string => {
  const value = process.env[name]
  if (value === undefined) throw new Error(`${name} is not set: npm run bench starts this server`)
  return value
}

const ticketBody = setting('FLOOR_TICKET_BODY')
const ticketHeaders = Object.entries(JSON.parse(setting('FLOOR_TICKET_HEADERS')) as Record<string, string>)
const welcome = setting('FLOOR_WELCOME')

App()
  .get('/ws_ticket', res => {
    for (const [name, value] of ticketHeaders) res.writeHeader(name, value)
    res.end(ticketBody)
  })
  .ws('/channel/*', {
    open: socket => {
      socket.send(welcome)
    },
  })
  .listen('127.0.0.1', 0, socket => {
    if (!socket) throw new Error('no port to listen on')
    const url = `http://127.0.0.1:${us_socket_local_port(socket)}`
    console.log(JSON.stringify({ msg: 'listening', url }))
  })
