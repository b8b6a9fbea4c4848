// What y-websocket connects to: passes on what is said in a document to the others in it. It keeps
// nothing, and knows nothing of tickets: who may open which document, the gate has decided.
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
