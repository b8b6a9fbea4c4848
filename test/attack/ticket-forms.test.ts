import { randomBytes } from 'node:crypto'
import { Agent } from 'node:http'
import t, { type Test } from 'tap'
import { requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { RawConnection, upgradeText } from '../support/raw.js'
import { startServer } from '../support/server.js'
import { gatePath, mint } from '../support/tokens.js'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const server = await startServer(t, { env: { TICKETGATE_TICKET_TTL_SECONDS: '600' } })
const agent = new Agent({ keepAlive: true, maxSockets: 8 })
t.teardown(() => agent.destroy())

/** Presents all forged tickets. Returns their names by the outcome, which is `status code`. */
const outcomes = async (forged: ReadonlyMap<string, string>): Promise<Record<string, string[]>> => {
  const found: Record<string, string[]> = {}
  await Promise.all(
    [...forged].map(async ([name, ticket]) => {
      const reply = await requestUpgrade(server.url, gatePath(ticket), { agent })
      const outcome = reply.status === 101 ? '101' : `${reply.status} ${JSON.parse(reply.text).code}`
      found[outcome] = [...(found[outcome] ?? []), name]
    }),
  )
  return found
}

const allInvalid = async (t: Test, ticket: string, forged: ReadonlyMap<string, string>): Promise<void> => {
  for (const [name, text] of forged) if (text === ticket) t.fail(`${name} is the ticket itself`)
  const { '401 ticket_invalid': refused = [], ...others } = await outcomes(forged)
  t.strictSame(others, {}, 'all are 401 ticket_invalid')
  t.equal(refused.length, forged.size, `all ${forged.size} forms are refused`)
  t.equal(
    (await requestUpgrade(server.url, gatePath(ticket))).status,
    101,
    'the ticket itself is still valid',
  )
}

t.test('a ticket with any bit flipped is refused', async t => {
  const ticket = await mint(server.url)
  const bytes = Buffer.from(ticket, 'base64url')
  const forged = new Map<string, string>()
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const copy = Buffer.from(bytes)
    copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    forged.set(`bit ${bit & 7} of byte ${bit >> 3}`, copy.toString('base64url'))
  }
  await allInvalid(t, ticket, forged)
})

t.test('a ticket truncated anywhere, as text or as bytes, is refused', async t => {
  const ticket = await mint(server.url)
  const bytes = Buffer.from(ticket, 'base64url')
  const forged = new Map<string, string>()
  for (let length = 1; length < ticket.length; length++) {
    forged.set(`the first ${length} characters`, ticket.slice(0, length))
    forged.set(`the last ${length} characters`, ticket.slice(-length))
  }
  for (let length = 1; length < bytes.length; length++)
    forged.set(`the first ${length} bytes`, bytes.subarray(0, length).toString('base64url'))
  await allInvalid(t, ticket, forged)
})

t.test('a ticket extended, repeated, or in another alphabet or encoding is refused', async t => {
  const ticket = await mint(server.url)
  const bytes = Buffer.from(ticket, 'base64url')
  const middle = ticket.length >> 1
  const forged = new Map([
    ['a byte after', Buffer.concat([bytes, Buffer.of(0)]).toString('base64url')],
    ['a byte before', Buffer.concat([Buffer.of(1), bytes]).toString('base64url')],
    [
      'a claim byte more',
      Buffer.concat([bytes.subarray(0, -32), Buffer.of(0xc0), bytes.subarray(-32)]).toString('base64url'),
    ],
    ['the ticket twice', ticket + ticket],
    ['its MAC twice', Buffer.concat([bytes, bytes.subarray(-32)]).toString('base64url')],
    ['an extra character', `${ticket}A`],
    ['four extra characters', `${ticket}AAAA`],
    ['3000 extra characters', ticket + 'A'.repeat(3000)],
    ['one =', `${ticket}=`],
    ['two =', `${ticket}==`],
    ['a + in place of a character', `${ticket.slice(0, middle)}+${ticket.slice(middle + 1)}`],
    ['a / in place of a character', `${ticket.slice(0, middle)}/${ticket.slice(middle + 1)}`],
    ['a + after it', `${ticket}+`],
    ['an encoded space after it', `${ticket}%20`],
    ['an encoded space before it', `%20${ticket}`],
    ['an encoded line break', `${ticket}%0A`],
    ['an encoded NUL', `${ticket}%00`],
    ['an encoded =', `${ticket}%3D`],
    ['its first character encoded', `%${ticket.charCodeAt(0).toString(16)}${ticket.slice(1)}`],
    [
      'its last character encoded',
      `${ticket.slice(0, -1)}%${ticket.charCodeAt(ticket.length - 1).toString(16)}`,
    ],
    ['all of it encoded', Buffer.from(ticket).toString('hex').replace(/../g, '%$&')],
    ['a broken encoding', `${ticket}%4`],
    ['a semicolon', `${ticket};x`],
    ['quotes', `"${ticket}"`],
    ['the prefix of an empty node', `.${ticket}`],
    ['a dot after it', `${ticket}.`],
    ['the prefix of a node in upper case', `NODE.${ticket}`],
    [
      'its case swapped',
      [...ticket].map(c => (c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase())).join(''),
    ],
    ['its text reversed', [...ticket].reverse().join('')],
    ['only zeros', Buffer.alloc(bytes.length).toString('base64url')],
    ['hexadecimal', bytes.toString('hex')],
    ['random bytes of its length', randomBytes(bytes.length).toString('base64url')],
    ['one character', 'A'],
    ['the word null', 'null'],
    ['the word undefined', 'undefined'],
  ])
  await allInvalid(t, ticket, forged)
})

t.test('a ticket with another node name in its text is refused, and not spent', async t => {
  const ticket = await mint(server.url)
  const reply = await requestUpgrade(server.url, gatePath(`a.${ticket}`))
  t.match(`${reply.status} ${reply.text}`, /^(401 .*"ticket_invalid"|421 .*"wrong_node")/)
  t.equal((await requestUpgrade(server.url, gatePath(ticket))).status, 101)
})

t.test('the spare bits of the last character must be zero', async t => {
  let seen = 0
  for (const user of ['u', 'uu', 'uuu']) {
    const ticket = await mint(server.url, user)
    const spare = [0, 0, 4, 2][ticket.length % 4] ?? 0
    const last = alphabet.indexOf(ticket.slice(-1))
    const forged = new Map<string, string>()
    for (let value = 1; value < 1 << spare; value++)
      forged.set(`spare bits ${value} of ${spare}`, ticket.slice(0, -1) + alphabet[last + value])
    if (forged.size === 0) continue
    seen++
    for (const text of forged.values())
      t.strictSame(
        Buffer.from(text, 'base64url'),
        Buffer.from(ticket, 'base64url'),
        'a lax decoder reads the same bytes',
      )
    await allInvalid(t, ticket, forged)
  }
  t.equal(seen, 2, 'both lengths with spare bits are covered')
})

t.test('parts of two valid tickets do not make one', async t => {
  const one = await mint(server.url, 'maggie')
  const other = await mint(server.url, 'maggie', 'red')
  const a = Buffer.from(one, 'base64url')
  const b = Buffer.from(other, 'base64url')
  const forged = new Map([
    [
      'the head of one, the claims and MAC of the other',
      Buffer.concat([a.subarray(0, 26), b.subarray(26)]).toString('base64url'),
    ],
    [
      'the body of one, the MAC of the other',
      Buffer.concat([a.subarray(0, -32), b.subarray(-32)]).toString('base64url'),
    ],
  ])
  await allInvalid(t, one, forged)
  t.equal((await requestUpgrade(server.url, gatePath(other, 'red'))).status, 101)
})

t.test('a ticket with characters that no client sends is refused', async t => {
  const ticket = await mint(server.url)
  const cases = [
    ['a space after it', `${ticket} `],
    ['a tab after it', `${ticket}\t`],
    ['a byte 0x80 before it', `\x80${ticket}`],
    ['a UTF-8 letter after it', `${ticket}\xc3\xa9`],
    ['a line feed after it', `${ticket}\n`],
    ['a NUL after it', `${ticket}\0`],
  ] as const
  for (const [name, text] of cases) {
    const connection = await RawConnection.connect(server.url)
    connection.write(Buffer.from(upgradeText(gatePath(text)), 'latin1'))
    const response = await connection.response()
    t.ok(
      response === undefined || response.status >= 400,
      `${name}: ${response?.status ?? 'the connection is closed'}`,
    )
    connection.destroy()
  }
  t.equal(
    (await requestUpgrade(server.url, gatePath(ticket))).status,
    101,
    'the ticket itself is still valid',
  )
})

t.test('a changed ticket is refused in the subprotocols as well', async t => {
  const ticket = await mint(server.url)
  const headers = (text: string) => ({
    headers: { 'sec-websocket-protocol': `ticketgate.v1.json, ticket.${text}` },
  })
  const flipped = (ticket[0] === 'A' ? 'B' : 'A') + ticket.slice(1)
  for (const [name, text] of [
    ['one character changed', flipped],
    ['a = after it', `${ticket}=`],
    ['encoded', `%41${ticket.slice(1)}`],
    ['truncated', ticket.slice(0, -1)],
  ] as const)
    isProblem(t, await requestUpgrade(server.url, '/channel/', headers(text)), '401 ticket_invalid', name)
  t.equal((await requestUpgrade(server.url, '/channel/', headers(ticket))).status, 101)
})
