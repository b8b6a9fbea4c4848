import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import files from '@fastify/static'
import Fastify from 'fastify'

const {
  GATE_ADMIN = 'http://127.0.0.1:8081',
  TICKETGATE_ADMIN_KEY = '',
  SESSION_SECRET = randomUUID(),
  PORT = '3000',
} = process.env
const sessionSeconds = 3600

const app = Fastify()
// The page is the same as that of the example for Express.
await app.register(files, { root: fileURLToPath(new URL('../express/public', import.meta.url)) })
await app.register(cookie)
await app.register(session, {
  secret: SESSION_SECRET,
  saveUninitialized: false,
  // SameSite keeps other sites from posting with this cookie. Behind TLS, set `secure` to true.
  cookie: { httpOnly: true, sameSite: 'strict', secure: false, maxAge: sessionSeconds * 1000 },
})

/** Asks the gate, on its admin listener. */
async function askGate(path, body) {
  const headers = { 'content-type': 'application/json' }
  // In development the gate has no key.
  if (TICKETGATE_ADMIN_KEY !== '') headers.authorization = `Bearer ${TICKETGATE_ADMIN_KEY}`
  const reply = await fetch(GATE_ADMIN + path, { method: 'POST', headers, body: JSON.stringify(body) })
  if (!reply.ok) throw new Error(`the gate: ${reply.status} ${await reply.text()}`)
  return reply.json()
}

const loginBody = {
  type: 'object',
  required: ['user'],
  properties: { user: { type: 'string', pattern: '^\\w{1,64}$' } },
}

app.post('/login', { schema: { body: loginBody } }, async (request, reply) => {
  // Check a password here. A new login gets a new session id, to prevent session fixation.
  await request.session.regenerate()
  request.session.set('login', {
    user: request.body.user,
    // The gate knows the session by this id, and never sees the cookie.
    session: randomUUID(),
    expires: Math.floor(Date.now() / 1000) + sessionSeconds,
  })
  reply.code(204)
})

app.post('/ticket', async (request, reply) => {
  const login = request.session.get('login')
  if (login === undefined) return reply.code(401).send()
  reply.header('cache-control', 'no-store')
  return askGate('/tickets', { ...login, channel: 'lobby' })
})

app.post('/logout', async (request, reply) => {
  const login = request.session.get('login')
  await request.session.destroy()
  // Closes the sockets, and revokes the tickets that are not spent yet.
  if (login !== undefined) await askGate('/disconnect', { session: login.session })
  reply.code(204)
})

console.log(await app.listen({ port: Number(PORT), host: '127.0.0.1' }))
