// The floor: what uWebSockets.js itself costs. It checks nothing, works nothing out and remembers
// nothing; it answers fixed bytes, the same as ticketgate's, so that what lies above it in the
// table is ours to explain.
import { App, SSLApp, us_socket_local_port } from 'uWebSockets.js'

const setting = (name: string): string => {
  const value = process.env[name]
  if (value === undefined) throw new Error(`${name} is not set: npm run bench starts this server`)
  return value
}

const headers = Object.entries(JSON.parse(setting('FLOOR_HEADERS')) as Record<string, string>)
const loginBody = setting('FLOOR_LOGIN_BODY')
const ticketBody = setting('FLOOR_TICKET_BODY')
const welcome = setting('FLOOR_WELCOME')
const message = setting('FLOOR_MESSAGE')
const ok = setting('FLOOR_OK')

const { FLOOR_TLS_CERT_FILE: certFile, FLOOR_TLS_KEY_FILE: keyFile } = process.env
const app =
  certFile === undefined || keyFile === undefined
    ? App()
    : SSLApp({ cert_file_name: certFile, key_file_name: keyFile })

app
  .post('/auth', res => {
    res.onAborted(() => {})
    res.onData((_chunk, isLast) => {
      if (!isLast) return
      for (const [name, value] of headers) res.writeHeader(name, value)
      res.end(loginBody)
    })
  })
  .get('/ws_ticket', res => {
    for (const [name, value] of headers) res.writeHeader(name, value)
    res.end(ticketBody)
  })
  .ws('/channel/*', {
    open: socket => {
      socket.subscribe('all')
      socket.send(welcome)
    },
    // Its client says by the first byte which of the two it wants: `a`, an acknowledgement.
    message: (socket, bytes) => {
      if (new Uint8Array(bytes)[0] === 97) socket.send(ok)
      else socket.publish('all', message)
    },
  })
  .listen('127.0.0.1', 0, socket => {
    if (!socket) throw new Error('no port to listen on')
    const url = `http://127.0.0.1:${us_socket_local_port(socket)}`
    console.log(JSON.stringify({ msg: 'listening', url }))
  })
