import t from 'tap'
import { hasTokenInQuery, looksLikeJwt, readPresentedTickets } from '../../src/admission/presented-tickets.js'

const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtIn0.AAAA'

t.test('where tickets are found', async t => {
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
    ['both, and the same', 'ticket=AA', 'ticket.AA', ['AA', 'AA']],
    ['twice in the query', 'ticket=AA&ticket=AA', '', ['AA', 'AA']],
    ['twice in the protocols', '', 'ticket.AA, ticket.BB', ['AA', 'BB']],
    ['an empty one', 'ticket=', 'ticket.', ['', '']],
    ['an empty one beside another', 'ticket=&ticket=AA', '', ['', 'AA']],
    ['a name without a value', 'ticket', '', ['']],
    ['undecoded', 'ticket=%41%41', '', ['%41%41']],
    ['a name in percent-encoding is no ticket', 'tick%65t=AA', '', []],
    ['another case is no ticket', 'Ticket=AA', 'Ticket.AA, TICKET.BB', []],
    ['a longer word is no ticket', 'tickets=AA', 'ticketgate.AA, xticket.AA', []],
  ] as const
  for (const [name, query, offered, expected] of cases)
    t.strictSame(readPresentedTickets(query, offered).tickets, expected, name)
})

t.test('the protocols beside the tickets', async t => {
  const cases = [
    ['none', '', []],
    ['one', 'ticketgate.v1.json', ['ticketgate.v1.json']],
    ['one and a ticket', 'ticketgate.v1.json, ticket.AA', ['ticketgate.v1.json']],
    ['only a ticket', 'ticket.AA', []],
    ['several, in their order', 'chat , ticket.AA,ticketgate.v1.json', ['chat', 'ticketgate.v1.json']],
    ['capitals stay', 'TICKETGATE.V1.JSON', ['TICKETGATE.V1.JSON']],
  ] as const
  for (const [name, offered, expected] of cases)
    t.strictSame(readPresentedTickets('', offered).protocols, expected, name)
})

t.test('what one handshake brought does not show in the next', async t => {
  readPresentedTickets('ticket=AA', 'chat, ticket.BB')
  t.strictSame(readPresentedTickets('', ''), { tickets: [], protocols: [] })
})

t.test('tokens where tickets belong', async t => {
  const cases = [
    ['under token', `token=${jwt}`, true],
    ['under access_token', `access_token=${jwt}`, true],
    ['under jwt', `x=1&jwt=${jwt}`, true],
    ['the second of two', `token=abc&token=${jwt}`, true],
    ['under another name', `auth=${jwt}`, false],
    ['what is no JWT', 'token=abc', false],
    ['nothing', '', false],
  ] as const
  for (const [name, query, expected] of cases) t.equal(hasTokenInQuery(query), expected, name)
})

t.test('what looks like a JWT', async t => {
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
