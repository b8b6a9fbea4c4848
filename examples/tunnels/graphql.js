// A graphql-ws server without any code for tickets. The gate sends the user in a header.
import { buildSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'

const schema = buildSchema('type Query { user: String }')
const sockets = new WebSocketServer({ port: Number(process.env.PORT ?? 3002), host: '127.0.0.1' })
const context = ({ extra }) => ({ user: decodeURIComponent(extra.request.headers['x-ticket-subject']) })
useServer({ schema, context, roots: { query: { user: (_, { user }) => user } } }, sockets)
sockets.on('listening', () => console.log(`listening on ${sockets.address().port}`))
