// The upstream server of the scenario `tunnel`: as cheap as possible. It greets each connection. The path selects what
// it does then: /echo returns each message, /sink/N answers every Nth, and /source/N/BYTES answers each with N.
import { App, us_socket_local_port } from 'uWebSockets.js'

interface Talk {
  readonly kind: string
  readonly each: number
  readonly message: Buffer
  left: number
}

const greeting = 'hello'

function talkOf(path: string): Talk {
  const [, kind = '', each = '1', bytes = '0'] = path.split('/')
  return { kind, each: Number(each), message: Buffer.alloc(Number(bytes), 'x'), left: Number(each) }
}

App()
  .ws<Talk>('/*', {
    idleTimeout: 0,
    sendPingsAutomatically: false,
    maxPayloadLength: 65_536,
    maxBackpressure: 0,
    upgrade: (res, req, context) =>
      res.upgrade(
        talkOf(req.getUrl()),
        req.getHeader('sec-websocket-key'),
        req.getHeader('sec-websocket-protocol'),
        '',
        context,
      ),
    open: socket => void socket.send(greeting),
    message: (socket, bytes, isBinary) => {
      const talk = socket.getUserData()
      if (talk.kind === 'echo') socket.send(bytes, isBinary)
      else if (talk.kind === 'source') for (let n = 0; n < talk.each; n++) socket.send(talk.message, true)
      else if (--talk.left === 0) {
        talk.left = talk.each
        socket.send(greeting)
      }
    },
  })
  .listen('127.0.0.1', 0, socket => {
    if (!socket) throw new Error('no port to listen on')
    const url = `http://127.0.0.1:${us_socket_local_port(socket)}`
    console.log(JSON.stringify({ msg: 'listening', url }))
  })
