import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const {
  GATE = 'http://127.0.0.1:8080',
  GATE_ADMIN = 'http://127.0.0.1:8081',
  TICKETGATE_ADMIN_KEY = '',
  PORT = '3000',
} = process.env

/** The page is the same as that of the example for Express. */
const page = readFileSync(new URL('../express/public/index.html', import.meta.url))

/** The tokens of those who are logged in, by the id in their cookie. Tokens never leave this process for a browser. */
const tokens = new Map()

const postJson = (url, body, headers = {}) =>
  fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })

async function bodyOf(request) {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk
    if (text.length > 4096) throw new Error('the body is too large')
  }
  return JSON.parse(text)
}

/** HttpOnly keeps scripts from it, and SameSite other sites. Behind TLS, add `Secure` and name it `__Host-id`. */
const cookie = (id, seconds) => `id=${id}; HttpOnly; SameSite=Strict; Path=/; Max-Age=${seconds}`

const sessionOf = ({ headers }) => /(?:^|; )id=(\w{64})(?:;|$)/.exec(headers.cookie ?? '')?.[1]

/** Uses the login of the gate; with an identity provider, this would exchange its code for a token. */
async function logIn(request, response) {
  const { user, pwd } = await bodyOf(request)
  const reply = await postJson(`${GATE}/auth`, { user, pwd })
  if (!reply.ok) return response.writeHead(reply.status).end()
  const { token, expires } = await reply.json()
  const id = randomBytes(32).toString('hex')
  const seconds = expires - Math.floor(Date.now() / 1000)
  tokens.set(id, token)
  setTimeout(() => tokens.delete(id), seconds * 1000).unref()
  response.writeHead(204, { 'set-cookie': cookie(id, seconds) }).end()
}

/** The ticket is all that the page gets: one socket, within seconds. */
async function ticket(request, response) {
  const token = tokens.get(sessionOf(request))
  if (token === undefined) return response.writeHead(401).end()
  const authorization = `Bearer ${token}`
  const reply = await postJson(`${GATE}/ws_ticket`, { channel: 'lobby' }, { authorization })
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' }
  response.writeHead(reply.status, headers).end(await reply.text())
}

/** Closes the sockets of the login, and makes its token worthless. */
async function logOut(request, response) {
  const id = sessionOf(request)
  const token = tokens.get(id)
  tokens.delete(id)
  if (token !== undefined) {
    const { sid } = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'))
    const key = TICKETGATE_ADMIN_KEY === '' ? {} : { authorization: `Bearer ${TICKETGATE_ADMIN_KEY}` }
    await postJson(`${GATE_ADMIN}/disconnect`, { session: sid }, key)
  }
  response.writeHead(204, { 'set-cookie': cookie('', 0) }).end()
}

const routes = { 'POST /login': logIn, 'POST /ticket': ticket, 'POST /logout': logOut }

const server = createServer((request, response) => {
  const route = routes[`${request.method} ${request.url}`]
  if (request.url === '/') return response.writeHead(200, { 'content-type': 'text/html' }).end(page)
  if (route === undefined) return response.writeHead(404).end()
  route(request, response).catch(error => {
    console.error(error.message)
    response.writeHead(502).end()
  })
})
server.listen(Number(PORT), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
