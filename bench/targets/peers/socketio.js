// Socket.IO with a token in the handshake's `auth`: no tickets, since the token is not in the URL. The WebSocket
// exists before the token is looked at.
import { createSecretKey } from 'node:crypto'
import { createServer } from 'node:http'
import jwt from 'jsonwebtoken'
import { Server } from 'socket.io'

// As text, jsonwebtoken would try it as a public key first, at 0.4 ms each time.
const secret = createSecretKey(Buffer.from(process.env.PEER_SECRET))

const server = createServer()
const io = new Server(server, { transports: ['websocket'], serveClient: false })

io.use((socket, next) => {
  try {
    const { token } = socket.handshake.auth
    socket.data.user = jwt.verify(token, secret, { algorithms: ['HS256'], audience: 'api' }).sub
    next()
  } catch {
    next(new Error('token_invalid'))
  }
})

io.on('connection', socket => {
  const { user } = socket.data
  const channel = socket.handshake.auth.channel ?? ''
  socket.join(`channel:${channel}`)
  socket.on('publish', (data, done) => {
    socket.to(`channel:${channel}`).emit('message', { channel, data, user })
    done?.()
  })
  socket.emit('welcome', { user, channel })
})

server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ msg: 'listening', url: `http://127.0.0.1:${server.address().port}` }))
})
