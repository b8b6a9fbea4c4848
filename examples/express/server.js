import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import express from 'express'
import session from 'express-session'

const {
  GATE_ADMIN = 'http://127.0.0.1:8081',
  TICKETGATE_ADMIN_KEY = '',
  SESSION_SECRET = randomUUID(),
  PORT = '3000',
} = process.env
const sessionSeconds = 3600

const app = express()
app.use(express.static(fileURLToPath(new URL('public', import.meta.url))))
app.use(express.json())
app.use(
  session({
    secret: SESSION_SECRET,
    resave: false,
    saveUninitialized: false,
    // SameSite keeps other sites from posting with this cookie. Behind TLS, set `secure` as well.
    cookie: { httpOnly: true, sameSite: 'strict', maxAge: sessionSeconds * 1000 },
  }),
)

/** Asks the gate, on its admin listener. */
async function askGate(path, body) {
  const headers = { 'content-type': 'application/json' }
  // In development the gate has no key.
  if (TICKETGATE_ADMIN_KEY !== '') headers.authorization = `Bearer ${TICKETGATE_ADMIN_KEY}`
  const reply = await fetch(GATE_ADMIN + path, { method: 'POST', headers, body: JSON.stringify(body) })
  if (!reply.ok) throw new Error(`the gate: ${reply.status} ${await reply.text()}`)
  return reply.json()
}

app.post('/login', (request, response, next) => {
  // Check a password here. A new login gets a new session id, to prevent session fixation.
  const { user } = request.body ?? {}
  if (typeof user !== 'string' || !/^\w{1,64}$/.test(user)) return response.sendStatus(400)
  request.session.regenerate(error => {
    if (error) return next(error)
    // The gate knows the session by this id, and never sees the cookie.
    request.session.user = user
    request.session.gateSession = randomUUID()
    request.session.expires = Math.floor(Date.now() / 1000) + sessionSeconds
    response.sendStatus(204)
  })
})

app.post('/ticket', async (request, response) => {
  const { user, gateSession, expires } = request.session
  if (user === undefined) return response.sendStatus(401)
  const ticket = await askGate('/tickets', { user, session: gateSession, expires, channel: 'lobby' })
  response.set('cache-control', 'no-store').json(ticket)
})

app.post('/logout', async (request, response) => {
  const { gateSession } = request.session
  await new Promise(resolve => request.session.destroy(resolve))
  // Closes the sockets, and revokes the tickets that are not spent yet.
  if (gateSession !== undefined) await askGate('/disconnect', { session: gateSession })
  response.sendStatus(204)
})

const server = app.listen(Number(PORT), '127.0.0.1', () =>
  console.log(`http://127.0.0.1:${server.address().port}`),
)
