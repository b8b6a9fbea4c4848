import t from 'tap'
import { hasTokenInQuery, looksLikeJwt, readPresentedTickets } from '../../src/admission/presented-tickets.js'
import { issueTicket } from '../../src/ticket/issuer.js'
import { ticketKey } from '../../src/ticket/key-ring.js'

const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtIn0.AAAA'

t.test('a ticket is found wherever it may be', async t => {
  const cases = [
    ['nowhere', '', '', []],
    ['the query', 'ticket=AA', '', ['AA']],
    ['the query, among others', 'x=1&ticket=AA&y=2', '', ['AA']],
    ['the protocols', '', 'ticketgate.v1.json, ticket.AA', ['AA']],
    ['the protocols, before the protocol', '', 'ticket.AA, ticketgate.v1.json', ['AA']],
    ['the protocols, without spaces', '', 'ticketgate.v1.json,ticket.AA', ['AA']],
    ['the protocols, alone', '', 'ticket.AA', ['AA']],
    ['a ticket with a dot in it', '', 'ticket.edge-1.AA', ['edge-1.AA']],
    ['both', 'ticket=AA', 'ticket.BB', ['AA', 'BB']],
    ['the same in both', 'ticket=AA', 'ticket.AA', ['AA', 'AA']],
    ['twice in the query', 'ticket=AA&ticket=AA', '', ['AA', 'AA']],
    ['twice in the protocols', '', 'ticket.AA, ticket.BB', ['AA', 'BB']],
    ['an empty one', 'ticket=', 'ticket.', ['', '']],
    ['an empty one beside another', 'ticket=&ticket=AA', '', ['', 'AA']],
    ['a name without a value', 'ticket', '', ['']],
    ['undecoded', 'ticket=%41%41', '', ['%41%41']],
    ['a percent-encoded name is not recognised', 'tick%65t=AA', '', []],
    ['a name in another case is not recognised', 'Ticket=AA', 'Ticket.AA, TICKET.BB', []],
    ['a longer name is not recognised', 'tickets=AA', 'ticketgate.AA, xticket.AA', []],
  ] as const
  for (const [name, query, offered, expected] of cases)
    t.strictSame(readPresentedTickets(query, offered, '').tickets, expected, name)
})

t.test('tickets in Authorization', async t => {
  const key = ticketKey(0, Buffer.alloc(32, 1), '')
  const issue = (node: string): string =>
    issueTicket(
      { user: 'maggie', sessionEndsAtSeconds: 1_764_000_600 },
      { key, node, nowMs: 1_764_000_000_000, ttlSeconds: 10 },
    ) ?? ''
  const [ticket, named] = [issue(''), issue('edge-1')]
  const bytes = Buffer.from(ticket, 'base64url')
  const withByte = (at: number, value: number): string => {
    const copy = Buffer.from(bytes)
    copy[at] = value
    return copy.toString('base64url')
  }
  const cases: readonly [string, string, readonly string[]][] = [
    ['as Ticket', 'Ticket AA', ['AA']],
    ['in any case', 'tIcKeT   AA', ['AA']],
    ['as Ticket, even if it is a JWT', `Ticket ${jwt}`, [jwt]],
    ['as Ticket, with more after it', 'Ticket AA, BB', ['AA, BB']],
    ['an empty one', 'Ticket', ['']],
    ['as Bearer', `Bearer ${ticket}`, [ticket]],
    ['as Bearer, of a node', `bearer ${named}`, [named]],
    ['a JWT', `Bearer ${jwt}`, []],
    ['three tickets joined like a JWT', `Bearer ${ticket}.${ticket}.${ticket}`, []],
    ['two dots', `Bearer edge-1.${named}`, []],
    ['an invalid node name', `Bearer Edge.${ticket}`, []],
    ['an opaque token', 'Bearer AQXdSP_W41_UPs5ioT_t8HESyODB4FqbkJ8LrV_5mff4gPODzOYR', []],
    ['a ticket of another version', `Bearer ${withByte(0, 2)}`, []],
    ['a ticket that lives too long', `Bearer ${withByte(8, 0xff)}`, []],
    ['a truncated ticket', `Bearer ${ticket.slice(0, 70)}`, []],
    ['another scheme', `Basic ${ticket}`, []],
    ['a longer scheme', `Tickets ${ticket}`, []],
    ['no scheme', ticket, []],
  ]
  for (const [name, authorization, expected] of cases)
    t.strictSame(readPresentedTickets('', '', authorization).tickets, expected, name)
  t.strictSame(
    readPresentedTickets('ticket=AA', 'ticket.BB', `Bearer ${ticket}`).tickets,
    ['AA', 'BB', ticket],
    'every ticket is returned',
  )
})

t.test('the protocols offered beside the tickets', async t => {
  const cases = [
    ['none', '', []],
    ['one', 'ticketgate.v1.json', ['ticketgate.v1.json']],
    ['one and a ticket', 'ticketgate.v1.json, ticket.AA', ['ticketgate.v1.json']],
    ['only a ticket', 'ticket.AA', []],
    ['several, in their order', 'chat , ticket.AA,ticketgate.v1.json', ['chat', 'ticketgate.v1.json']],
    ['capitals are kept', 'TICKETGATE.V1.JSON', ['TICKETGATE.V1.JSON']],
  ] as const
  for (const [name, offered, expected] of cases)
    t.strictSame(readPresentedTickets('', offered, '').protocols, expected, name)
})

t.test('nothing leaks from one handshake into the next', async t => {
  readPresentedTickets('ticket=AA', 'chat, ticket.BB', 'Ticket CC')
  t.strictSame(readPresentedTickets('', '', ''), { tickets: [], protocols: [] })
})

t.test('tokens in place of tickets', async t => {
  const cases = [
    ['under token', `token=${jwt}`, true],
    ['under access_token', `access_token=${jwt}`, true],
    ['under jwt', `x=1&jwt=${jwt}`, true],
    ['the second of two', `token=abc&token=${jwt}`, true],
    ['under another name', `auth=${jwt}`, false],
    ['not a JWT', 'token=abc', false],
    ['nothing', '', false],
  ] as const
  for (const [name, query, expected] of cases) t.equal(hasTokenInQuery(query), expected, name)
})

t.test('texts that look like a JWT', async t => {
  for (const text of [jwt, 'eyJ.e.', `eyJhbGciOiJub25lIn0.eyJ9.`, 'eyJ_-.A-_.'])
    t.ok(looksLikeJwt(text), text)
  for (const text of [
    '',
    'eyJ',
    'eyJ.A',
    'eyJ..A',
    `x${jwt}`,
    `${jwt}.AA`,
    `${jwt}\n`,
    ` ${jwt}`,
    'AQABmraX',
    'edge-1.AQAB',
  ])
    t.notOk(looksLikeJwt(text), JSON.stringify(text))
})
