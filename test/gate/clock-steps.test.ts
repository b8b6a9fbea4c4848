import t, { type Test } from 'tap'
import { clockShift } from '../support/clock-shift.js'
import { bearer, jsonOf, metric, outcomeOf, postJson, request, requestUpgrade } from '../support/http.js'
import { fileNeeds } from '../support/programs.js'
import { startServer, type TestServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mintWith } from '../support/tokens.js'

fileNeeds(t, 'gcc')

const user = { user: 'maggie', pwd: 'correct horse battery staple' }

const logIn = async ({ url }: TestServer): Promise<string> =>
  String(jsonOf(await postJson(url, '/auth', user)).token)

const ticketOf = async ({ url }: TestServer, token: string): Promise<string> =>
  (await mintWith(url, token)).ticket

const present = async ({ url }: TestServer, ticket: string): Promise<string> =>
  outcomeOf(await requestUpgrade(url, gatePath(ticket)))

const takeTicket = async ({ url }: TestServer, token: string): Promise<string> =>
  outcomeOf(await request(url, '/ws_ticket', { headers: bearer(token) }))

const start = async (t: Test, threads: string) => {
  const shift = clockShift(t)
  const env = {
    ...shift.env,
    TICKETGATE_THREADS: threads,
    TICKETGATE_TOKEN_TTL_SECONDS: '3600',
    TICKETGATE_TICKET_TTL_SECONDS: '600',
  }
  return { server: await startServer(t, { env, users: { [user.user]: user.pwd } }), shift }
}

for (const threads of ['1', '2'])
  t.test(
    `tokens, tickets and sockets expire correctly if the system clock steps (threads: ${threads})`,
    async t => {
      const { server, shift } = await start(t, threads)
      const token = await logIn(server)
      const { client } = await openSession(socketUrl(server.url, gatePath(await ticketOf(server, token))))
      const old = await ticketOf(server, token)

      // As if the machine had slept for half an hour: only the wall clock shows that.
      shift.set(1800)
      await server.logged('the system clock went ahead')
      t.equal(await present(server, old), '401 ticket_expired')
      t.equal(
        await present(server, await ticketOf(server, token)),
        '101',
        'the token is valid for another half hour',
      )
      t.match(await client.ask({ type: 'ping' }), { type: 'pong' }, 'the socket stays open')

      shift.set(7200)
      await server.logged('the system clock went ahead', 2)
      t.equal(await takeTicket(server, token), '401 token_expired')
      t.equal((await client.closed).code, 4401)
      const later = await logIn(server)
      const unused = await ticketOf(server, later)

      shift.set(0)
      await server.logged('the system clock went back')
      t.equal(await takeTicket(server, token), '401 token_expired', 'an expired token stays expired')
      t.equal(await present(server, old), '401 ticket_expired')
      t.equal(
        await present(server, unused),
        '101',
        'a ticket that was issued while the clock was ahead is valid',
      )
      t.equal(await present(server, unused), '401 ticket_used')
      t.equal(await present(server, await ticketOf(server, await logIn(server))), '101')
      t.ok((await metric(server, 'ticketgate_clock_ahead_seconds')) > 7000)
    },
  )
