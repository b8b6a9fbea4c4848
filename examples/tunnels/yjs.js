// A server for y-websocket: relays the messages of each document to its other clients. It stores
// nothing, and has no code for tickets: the gate decides which user may open which document.
import { WebSocketServer } from 'ws'

const documents = new Map()
const sockets = new WebSocketServer({ port: Number(process.env.PORT ?? 3003), host: '127.0.0.1' })
sockets.on('connection', (socket, { url }) => {
  const present = documents.get(url) ?? new Set()
  documents.set(url, present.add(socket))
  socket.on('message', data => {
    for (const other of present) if (other !== socket) other.send(data)
  })
  socket.on('close', () => present.delete(socket) && present.size === 0 && documents.delete(url))
})
sockets.on('listening', () => console.log(`listening on ${sockets.address().port}`))
