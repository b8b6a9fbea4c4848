// Fastify 5, @fastify/jwt and @fastify/websocket. Tickets as in the Express peer.
import { randomUUID } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import websocket from '@fastify/websocket'
import { verify as verifyPassword } from '@node-rs/argon2'
import Fastify from 'fastify'

const { PEER_SECRET: secret, PEER_USERS, PEER_TICKET_SECONDS } = process.env
const users = new Map(Object.entries(JSON.parse(PEER_USERS)))
const ticketSeconds = Number(PEER_TICKET_SECONDS)
const tokenSeconds = 900
const now = () => Math.floor(Date.now() / 1000)

const used = new Map() // jti → expiry
setInterval(() => {
  for (const [id, expires] of used) if (expires < now()) used.delete(id)
}, 10_000).unref()

const app = Fastify()
await app.register(fastifyJwt, { secret, verify: { algorithms: ['HS256'], allowedAud: 'api' } })
await app.register(websocket)

const credentials = {
  body: {
    type: 'object',
    required: ['user', 'pwd'],
    properties: { user: { type: 'string' }, pwd: { type: 'string' } },
  },
}

app.post('/auth', { schema: credentials }, async (req, reply) => {
  const { user, pwd } = req.body
  const hash = users.get(user)
  if (!hash || !(await verifyPassword(hash, pwd))) return reply.code(401).send({ code: 'bad_credentials' })
  const token = app.jwt.sign({ sub: user, aud: 'api' }, { expiresIn: tokenSeconds })
  reply.header('cache-control', 'no-store')
  return { token, expires: now() + tokenSeconds }
})

const bearer = async (req, reply) => {
  try {
    await req.jwtVerify()
  } catch {
    return reply.code(401).send({ code: 'token_invalid' })
  }
}

app.get('/ws_ticket', { onRequest: bearer }, async (req, reply) => {
  const claims = { sub: req.user.sub, aud: 'ticket', jti: randomUUID() }
  const ticket = app.jwt.sign(claims, { expiresIn: ticketSeconds })
  reply.header('cache-control', 'no-store')
  return { ticket, expires: now() + ticketSeconds }
})

const spendTicket = async (req, reply) => {
  let claims
  try {
    claims = app.jwt.verify(req.query.ticket, { allowedAud: 'ticket' })
  } catch {
    return reply.code(401).send({ code: 'ticket_invalid' })
  }
  if (used.has(claims.jti)) return reply.code(401).send({ code: 'ticket_used' })
  used.set(claims.jti, claims.exp)
  req.user = claims
}

const channels = new Map() // name → sockets

app.get('/channel/*', { websocket: true, preValidation: spendTicket }, (ws, req) => {
  const user = req.user.sub
  const channel = req.params['*']
  if (!channels.has(channel)) channels.set(channel, new Set())
  const members = channels.get(channel)
  members.add(ws)
  ws.on('close', () => {
    members.delete(ws)
    if (members.size === 0) channels.delete(channel)
  })
  ws.on('message', bytes => {
    const { type, data, id } = JSON.parse(bytes)
    if (type !== 'publish') return
    const text = JSON.stringify({ type: 'message', channel, data, user })
    for (const member of members) if (member !== ws) member.send(text)
    if (id !== undefined) ws.send(JSON.stringify({ type: 'ok', id }))
  })
  ws.send(JSON.stringify({ type: 'welcome', user, channel }))
})

const url = await app.listen({ host: '127.0.0.1', port: 0 })
console.log(JSON.stringify({ msg: 'listening', url }))
