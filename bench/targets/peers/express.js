// Express 5, jsonwebtoken and ws. Tickets are JWTs of a few seconds with a `jti`, remembered in a Map once used.
import { createSecretKey, randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { verify as verifyPassword } from '@node-rs/argon2'
import express from 'express'
import jwt from 'jsonwebtoken'
import { WebSocketServer } from 'ws'

const { PEER_SECRET, PEER_USERS, PEER_TICKET_SECONDS } = process.env
// As text, jsonwebtoken would try it as a private and a public key first, at 0.8 ms each time.
const secret = createSecretKey(Buffer.from(PEER_SECRET))
const users = new Map(Object.entries(JSON.parse(PEER_USERS)))
const ticketSeconds = Number(PEER_TICKET_SECONDS)
const tokenSeconds = 900
const now = () => Math.floor(Date.now() / 1000)

const used = new Map() // jti → expiry
setInterval(() => {
  for (const [id, expires] of used) if (expires < now()) used.delete(id)
}, 10_000).unref()

const app = express().disable('x-powered-by').disable('etag')

app.post('/auth', express.json(), async (req, res) => {
  const hash = users.get(req.body.user)
  if (!hash || !(await verifyPassword(hash, req.body.pwd)))
    return res.status(401).json({ code: 'bad_credentials' })
  const token = jwt.sign({ sub: req.body.user, aud: 'api' }, secret, { expiresIn: tokenSeconds })
  res.set('cache-control', 'no-store').json({ token, expires: now() + tokenSeconds })
})

const bearer = (req, res, next) => {
  try {
    req.user = jwt.verify(req.headers.authorization.slice('Bearer '.length), secret, {
      algorithms: ['HS256'],
      audience: 'api',
    })
  } catch {
    return res.status(401).json({ code: 'token_invalid' })
  }
  next()
}

app.get('/ws_ticket', bearer, (req, res) => {
  const claims = { sub: req.user.sub, aud: 'ticket', jti: randomUUID() }
  const ticket = jwt.sign(claims, secret, { expiresIn: ticketSeconds })
  res.set('cache-control', 'no-store').json({ ticket, expires: now() + ticketSeconds })
})

const channels = new Map() // name → sockets
const sockets = new WebSocketServer({ noServer: true })
const server = createServer(app)

const refuse = (socket, code) => {
  const body = JSON.stringify({ code })
  const head = `HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n`
  socket.end(`${head}Connection: close\r\n\r\n${body}`)
}

server.on('upgrade', (req, socket, head) => {
  const { pathname, searchParams } = new URL(req.url, 'http://localhost')
  let claims
  try {
    claims = jwt.verify(searchParams.get('ticket'), secret, { algorithms: ['HS256'], audience: 'ticket' })
  } catch {
    return refuse(socket, 'ticket_invalid')
  }
  if (used.has(claims.jti)) return refuse(socket, 'ticket_used')
  used.set(claims.jti, claims.exp)
  const channel = pathname.slice('/channel/'.length)
  sockets.handleUpgrade(req, socket, head, ws => serve(ws, claims.sub, channel))
})

const serve = (ws, user, channel) => {
  if (!channels.has(channel)) channels.set(channel, new Set())
  const members = channels.get(channel)
  members.add(ws)
  ws.on('close', () => {
    members.delete(ws)
    if (members.size === 0) channels.delete(channel)
  })
  ws.on('error', () => ws.terminate())
  ws.on('message', bytes => {
    const { type, data, id } = JSON.parse(bytes)
    if (type !== 'publish') return
    const text = JSON.stringify({ type: 'message', channel, data, user })
    for (const member of members) if (member !== ws) member.send(text)
    if (id !== undefined) ws.send(JSON.stringify({ type: 'ok', id }))
  })
  ws.send(JSON.stringify({ type: 'welcome', user, channel }))
}

server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ msg: 'listening', url: `http://127.0.0.1:${server.address().port}` }))
})
