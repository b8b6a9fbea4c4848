// The common design with a store: a ticket is a random key in Redis, redeemed with GETDEL. On uWebSockets.js, so that
// what differs from ticketgate is the ticket, not the server.

import { App, us_socket_local_port } from 'uWebSockets.js'
import { randomBytes } from 'node:crypto'
import { verify as verifyPassword } from '@node-rs/argon2'
import { createClient } from '@redis/client'
import { createSigner, createVerifier } from 'fast-jwt'

const { PEER_SECRET: secret, PEER_USERS, PEER_TICKET_SECONDS, PEER_REDIS_URL: url } = process.env
const users = new Map(Object.entries(JSON.parse(PEER_USERS)))
const ticketSeconds = Number(PEER_TICKET_SECONDS)
const tokenSeconds = 900
const now = () => Math.floor(Date.now() / 1000)

const redis = await createClient({ url }).connect()
const sign = createSigner({ key: secret, algorithm: 'HS256', expiresIn: tokenSeconds * 1000, aud: 'api' })
const verify = createVerifier({ key: secret, algorithms: ['HS256'], allowedAud: 'api', cache: true })

/** Replies with JSON unless the client has gone. */
const answer = (res, status, body) => {
  if (res.aborted) return
  res.cork(() => {
    res
      .writeStatus(status)
      .writeHeader('content-type', 'application/json')
      .writeHeader('cache-control', 'no-store')
    res.end(JSON.stringify(body))
  })
}

const watch = res =>
  res.onAborted(() => {
    res.aborted = true
  })

// uWS may close a socket if anything else happens in the callback that upgrades it (uWebSockets pull request 1929).
let opened
const welcome = () => {
  const { user, channel } = opened.getUserData()
  opened.subscribe(`channel:${channel}`)
  opened.send(JSON.stringify({ type: 'welcome', user, channel }))
}

App()
  .post('/auth', res => {
    watch(res)
    let body = ''
    res.onData(async (chunk, isLast) => {
      body += Buffer.from(chunk).toString()
      if (!isLast) return
      const { user, pwd } = JSON.parse(body)
      const hash = users.get(user)
      if (!hash || !(await verifyPassword(hash, pwd)))
        return answer(res, '401 Unauthorized', { code: 'bad_credentials' })
      answer(res, '200 OK', { token: sign({ sub: user }), expires: now() + tokenSeconds })
    })
  })
  .get('/ws_ticket', async (res, req) => {
    watch(res)
    let user
    try {
      user = verify(req.getHeader('authorization').slice('Bearer '.length)).sub
    } catch {
      return answer(res, '401 Unauthorized', { code: 'token_invalid' })
    }
    const ticket = randomBytes(32).toString('base64url')
    await redis.set(`ticket:${ticket}`, user, { expiration: { type: 'EX', value: ticketSeconds } })
    answer(res, '200 OK', { ticket, expires: now() + ticketSeconds })
  })
  .ws('/channel/*', {
    upgrade: async (res, req, context) => {
      watch(res)
      const channel = req.getUrl().slice('/channel/'.length)
      const ticket = req.getQuery('ticket')
      const [key, protocol, extensions] = ['key', 'protocol', 'extensions'].map(name =>
        req.getHeader(`sec-websocket-${name}`),
      )
      const user = await redis.getDel(`ticket:${ticket}`)
      if (user === null) return answer(res, '401 Unauthorized', { code: 'ticket_invalid' })
      if (res.aborted) return
      res.cork(() => res.upgrade({ user, channel }, key, protocol, extensions, context))
      welcome()
    },
    open: ws => {
      opened = ws
    },
    message: (ws, bytes) => {
      const { user, channel } = ws.getUserData()
      const { type, data, id } = JSON.parse(Buffer.from(bytes))
      if (type !== 'publish') return
      ws.publish(`channel:${channel}`, JSON.stringify({ type: 'message', channel, data, user }))
      if (id !== undefined) ws.send(JSON.stringify({ type: 'ok', id }))
    },
  })
  .listen('127.0.0.1', 0, socket => {
    console.log(JSON.stringify({ msg: 'listening', url: `http://127.0.0.1:${us_socket_local_port(socket)}` }))
  })
