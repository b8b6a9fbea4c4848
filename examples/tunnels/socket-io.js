// A Socket.IO server without any code for tickets. The gate sends the user in a header.
import { createServer } from 'node:http'
import { Server } from 'socket.io'

const http = createServer()
const io = new Server(http, { transports: ['websocket'] })
io.on('connection', socket => {
  const user = decodeURIComponent(socket.handshake.headers['x-ticket-subject'])
  socket.on('say', text => io.emit('said', { user, text }))
})
http.listen(Number(process.env.PORT ?? 3001), '127.0.0.1', () => {
  console.log(`listening on ${http.address().port}`)
})
