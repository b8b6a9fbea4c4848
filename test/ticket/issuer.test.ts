import t from 'tap'
import { maxClaimsBytes } from '../../src/ticket/claims.js'
import { issueTicket } from '../../src/ticket/issuer.js'
import { ticketKey } from '../../src/ticket/key-ring.js'
import { labelOf, layOut, macOf, nowMs, nowSeconds, packClaims, secret, textOf } from './forge.js'

const claims = { user: 'maggie', sessionEndsAtSeconds: nowSeconds + 900, channel: 'red' }
const options = { key: ticketKey(0, secret), node: '', nowMs, ttlSeconds: 10 }

const issue = (user: string) => issueTicket({ ...claims, user }, options) ?? ''
const bytesOf = (text: string) => Buffer.from(text, 'base64url')

t.test('a ticket follows the format byte for byte', async t => {
  const text = issue('maggie')
  const bytes = bytesOf(text)
  const nonce = bytes.subarray(10, 26)
  const body = layOut({ nonce, claims: packClaims(claims) })
  t.equal(text, textOf(body, macOf(body)), 'it equals the ticket made by hand')
})

t.test('a ticket contains the key id, the time and the ttl', async t => {
  const key = ticketKey(200, secret)
  const text = issueTicket(claims, { key, node: '', nowMs: 1_000_000.999, ttlSeconds: 3600 }) ?? ''
  const nonce = bytesOf(text).subarray(10, 26)
  const body = layOut({
    keyId: 200,
    issuedAtMs: 1_000_000,
    ttlSeconds: 3600,
    nonce,
    claims: packClaims(claims),
  })
  t.equal(text, textOf(body, macOf(body)), 'fractions of a millisecond are cut off')
})

t.test('the ticket of a node starts with the node name, and its MAC covers the name', async t => {
  const key = ticketKey(1, secret, 'edge-1')
  const text = issueTicket(claims, { ...options, key, node: 'edge-1' }) ?? ''
  t.match(text, /^edge-1\.[\w-]+$/)
  const bytes = bytesOf(text.slice('edge-1.'.length))
  const body = bytes.subarray(0, -32)
  t.strictSame(bytes.subarray(-32), macOf(body, labelOf('edge-1')))
})

t.test('two tickets for the same claims have two nonces, and nothing else differs', async t => {
  const [first, second] = [bytesOf(issue('maggie')), bytesOf(issue('maggie'))]
  t.notSame(first.subarray(10, 26), second.subarray(10, 26))
  t.strictSame(first.subarray(0, 10), second.subarray(0, 10))
  t.strictSame(first.subarray(26, -32), second.subarray(26, -32))
})

t.test('claims can have up to 512 bytes', async t => {
  const overhead = packClaims({ ...claims, user: 'a'.repeat(300) }).length - 300
  const largest = 'a'.repeat(maxClaimsBytes - overhead)
  t.equal(packClaims({ ...claims, user: largest }).length, 512)
  t.equal(issue(largest).length, 760, 'the longest ticket has 760 characters')
  t.equal(issueTicket({ ...claims, user: `${largest}a` }, options), undefined, 'one more byte is refused')
  t.equal(issueTicket({ ...claims, user: 'a'.repeat(100_000) }, options), undefined, 'so are many more')
})
