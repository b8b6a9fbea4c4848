import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { TicketClaims } from '../../src/ticket/claims.js'
import { issuePacked, issueRemembered, type PackedClaims } from '../../src/ticket/issuer.js'
import { bootKeyId, ticketKey } from '../../src/ticket/key-ring.js'
import { recall, remember } from '../../src/ticket/recent-claims.js'
import { ownTicketsOnly, verifyTicket } from '../../src/ticket/verifier.js'
import { nowMs, packClaims } from './forge.js'

const secret = randomBytes(32)
const sessionEndsAtSeconds = Math.floor(nowMs / 1000) + 900
const claimsOf = (user: string): TicketClaims => ({ user, sessionEndsAtSeconds, session: 'abc' })

const verified = (text: string | undefined, keyId: number) =>
  verifyTicket(text ?? '', new Map([[keyId, ticketKey(keyId, secret)]]), nowMs + 1, {
    ...ownTicketsOnly,
    earliestOutsideMs: 0,
    outsideUntilMs: Number.POSITIVE_INFINITY,
  })

t.test('a verified ticket has the claims it was issued with, whether remembered or parsed', async t => {
  const options = { key: ticketKey(bootKeyId, secret), node: '', nowMs, ttlSeconds: 10 }
  const packed: PackedClaims[] = []
  const issue = (claims: TicketClaims, token: object = claims) =>
    issueRemembered(claims, token, options, one => packed.push(one))
  const claims = claimsOf('maggie')
  const [first, second] = [issue(claims), issue(claims)]
  t.equal(packed.length, 1, 'a second ticket for the same token is not packed again')
  issue(claims, {})
  t.equal(packed.length, 1, 'the same claims for another token are not packed again')
  const third = packed[0] && issuePacked(packed[0], options)
  t.equal(new Set([first, second, third]).size, 3)
  for (const text of [first, second, third]) {
    const ticket = verified(text, bootKeyId)
    t.type(ticket, 'object')
    if (typeof ticket === 'object') t.equal(ticket.claims, claims, 'the remembered object itself')
  }
  // Enough to overwrite every entry.
  for (let n = 0; n < 50_000; n++) issue(claimsOf(`user ${n}`))
  const ticket = verified(first, bootKeyId)
  t.type(ticket, 'object')
  if (typeof ticket === 'object')
    t.strictSame({ ...ticket.claims }, { ...claims }, 'claims that are no longer remembered are parsed')
})

t.test('a change of one byte is noticed', async t => {
  const bytes = packClaims(claimsOf('lisa'))
  remember(bytes, 0, bytes.length, claimsOf('lisa'), t)
  t.match(recall(bytes, 0, bytes.length), { user: 'lisa' })
  for (let at = 0; at < bytes.length; at++) {
    const other = Buffer.from(bytes)
    other[at] = (other[at] ?? 0) ^ 1
    t.equal(recall(other, 0, other.length), undefined)
  }
  t.equal(recall(bytes, 0, bytes.length - 1), undefined)
})

t.test('long claims are not remembered', async t => {
  const claims = { ...claimsOf('bart'), publish: Array.from({ length: 20 }, (_, n) => `channel-${n}`) }
  const bytes = packClaims(claims)
  t.notOk(remember(bytes, 0, bytes.length, claims, t))
  t.notOk(remember(bytes, 0, bytes.length, claims, t))
  t.equal(recall(bytes, 0, bytes.length), undefined)
})

t.test('the claims of tickets from outside minters are always parsed', async t => {
  const claims = claimsOf('homer')
  const options = { key: ticketKey(1, secret), node: '', nowMs, ttlSeconds: 10 }
  const ticket = verified(
    issueRemembered(claims, claims, options, () => {}),
    1,
  )
  t.type(ticket, 'object')
  if (typeof ticket === 'object') t.not(ticket.claims, claims)
})
