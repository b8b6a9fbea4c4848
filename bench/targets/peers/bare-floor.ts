// The barest floor: what uWebSockets.js costs with nothing around it. It answers a fixed body, writes
// no header of its own, accepts every handshake, greets, and subscribes nobody.
import { App, us_socket_local_port } from 'uWebSockets.js'

const { FLOOR_TICKET_BODY: body, FLOOR_WELCOME: welcome } = process.env
if (body === undefined || welcome === undefined)
  throw new Error('FLOOR_TICKET_BODY or FLOOR_WELCOME is not set: npm run bench starts this server')

App()
  .get('/ws_ticket', res => {
    res.end(body)
  })
  .ws('/channel/*', {
    open: socket => {
      socket.send(welcome)
    },
  })
  .listen('127.0.0.1', 0, socket => {
    if (!socket) throw new Error('no port to listen on')
    console.log(JSON.stringify({ msg: 'listening', url: `http://127.0.0.1:${us_socket_local_port(socket)}` }))
  })
