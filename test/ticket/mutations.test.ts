import t, { type Test } from 'tap'
import { ticketKey } from '../../src/ticket/key-ring.js'
import { verifyTicket } from '../../src/ticket/verifier.js'
import { anyTime, nowMs, seal, secret, smallClaims, vectorText } from './forge.js'

const ring = new Map([[0, ticketKey(0, secret)]])

/** Tickets whose last character has 0, 2 and 4 unused bits. */
const tickets = [
  vectorText,
  seal(),
  seal({ claims: Buffer.concat([Buffer.of(0x82, 0xa1, 0x75, 0xa2, 0x6d), smallClaims.subarray(4)]) }),
]

const allRefused = (t: Test, mutants: ReadonlyMap<string, string>, original: string): void => {
  const survivors = [...mutants].filter(
    ([, text]) => text !== original && verifyTicket(text, ring, nowMs, anyTime) !== 'ticket_invalid',
  )
  t.strictSame(survivors, [], `all ${mutants.size} mutants are refused`)
  t.type(verifyTicket(original, ring, nowMs, anyTime), 'object', 'the original is accepted')
}

t.test('a ticket with any bit of its bytes flipped is refused', async t => {
  for (const ticket of tickets) {
    const bytes = Buffer.from(ticket, 'base64url')
    const mutants = new Map<string, string>()
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const copy = Buffer.from(bytes)
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      mutants.set(`bit ${bit & 7} of byte ${bit >> 3}`, copy.toString('base64url'))
    }
    t.ok([...mutants.values()].every(text => text !== ticket))
    allRefused(t, mutants, ticket)
  }
})

t.test('a ticket with any bit of its characters flipped is refused', async t => {
  for (const ticket of tickets) {
    const mutants = new Map<string, string>()
    for (let index = 0; index < ticket.length; index++)
      for (let bit = 0; bit < 16; bit++) {
        const flipped = String.fromCharCode(ticket.charCodeAt(index) ^ (1 << bit))
        mutants.set(
          `bit ${bit} of character ${index}`,
          ticket.slice(0, index) + flipped + ticket.slice(index + 1),
        )
      }
    allRefused(t, mutants, ticket)
  }
})

t.test('a ticket with any other last character is refused, even if it decodes to the same bytes', async t => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const unused = new Set<number>()
  for (const ticket of tickets) {
    const mutants = new Map([...alphabet].map(last => [last, ticket.slice(0, -1) + last]))
    allRefused(t, mutants, ticket)
    unused.add((ticket.length * 6) % 8)
  }
  t.strictSame([...unused].sort(), [0, 2, 4], 'the tickets cover all counts of unused bits')
})

t.test('truncated and extended tickets are refused', async t => {
  for (const ticket of tickets) {
    const bytes = Buffer.from(ticket, 'base64url')
    const mutants = new Map<string, string>()
    for (let length = 0; length < ticket.length; length++) {
      mutants.set(`the first ${length} characters`, ticket.slice(0, length))
      mutants.set(`the last ${length} characters`, ticket.slice(ticket.length - length))
    }
    for (let length = 0; length < bytes.length; length++)
      mutants.set(
        `without byte ${length}`,
        Buffer.from(bytes.filter((_, index) => index !== length)).toString('base64url'),
      )
    for (let value = 0; value < 256; value++) {
      mutants.set(`${value} after`, Buffer.concat([bytes, Buffer.of(value)]).toString('base64url'))
      mutants.set(`${value} before`, Buffer.concat([Buffer.of(value), bytes]).toString('base64url'))
      mutants.set(
        `${value} before the MAC`,
        Buffer.concat([bytes.subarray(0, -32), Buffer.of(value), bytes.subarray(-32)]).toString('base64url'),
      )
    }
    allRefused(t, mutants, ticket)
  }
})

t.test('a ticket with any two 16-byte blocks swapped is refused', async t => {
  const original = Buffer.from(vectorText, 'base64url')
  const mutants = new Map<string, string>()
  for (let first = 0; first + 16 <= original.length; first++)
    for (let second = first + 16; second + 16 <= original.length; second++) {
      const copy = Buffer.from(original)
      original.copy(copy, first, second, second + 16)
      original.copy(copy, second, first, first + 16)
      mutants.set(`${first} and ${second}`, copy.toString('base64url'))
    }
  allRefused(t, mutants, vectorText)
})

t.test('other texts that decode to the bytes of a ticket are refused', async t => {
  for (const ticket of tickets) {
    const bytes = Buffer.from(ticket, 'base64url')
    const standard = ticket.replaceAll('-', '+').replaceAll('_', '/')
    const mutants = new Map([
      ['padding', `${ticket}=`],
      ['more padding', `${ticket}==`],
      ['padding and rubbish', `${ticket}=A`],
      ['a trailing line break', `${ticket}\n`],
      ['a leading line break', `\r\n${ticket}`],
      ['a tab inside', `${ticket.slice(0, 9)}\t${ticket.slice(9)}`],
      ['a NUL inside', `${ticket.slice(0, 9)}\0${ticket.slice(9)}`],
      ['a star inside', `${ticket.slice(0, 9)}*${ticket.slice(9)}`],
      ['an umlaut inside', `${ticket.slice(0, 9)}ä${ticket.slice(9)}`],
      ['a leading dot', `.${ticket}`],
      ['a trailing dot', `${ticket}.`],
      ['the standard base64 alphabet', standard],
    ])
    for (const [name, text] of mutants)
      if (!name.includes('dot')) t.ok(Buffer.from(text, 'base64').equals(bytes), `${name}: the same bytes`)
    allRefused(t, mutants, ticket)
  }
})
