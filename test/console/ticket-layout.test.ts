import { readFileSync } from 'node:fs'
import t from 'tap'
import { hexOf, layoutOf } from '../../src/console/ticket-layout.js'

interface Vector {
  readonly name: string
  readonly node?: string
  readonly ticket: string
  readonly issuedAtMs: number
  readonly ttlSeconds: number
  readonly nonce: string
  readonly claims: Readonly<Record<string, unknown>>
}

const file = new URL('../../src/ticket/vectors.json', import.meta.url)
const { valid }: { valid: readonly Vector[] } = JSON.parse(readFileSync(file, 'utf8'))

t.test('every valid vector is shown as documented', async t => {
  t.ok(valid.length > 5)
  for (const { name, node, ticket, issuedAtMs, ttlSeconds, nonce, claims } of valid) {
    const layout = layoutOf(ticket)
    const field = (wanted: string) => layout.fields.find(each => each.name === wanted)
    t.equal(layout.node ?? '', node ?? '', `${name}: node`)
    t.equal(layout.ttlSeconds, ttlSeconds, `${name}: ttl`)
    t.equal(field('issuedAt')?.value, new Date(issuedAtMs).toISOString(), `${name}: issuedAt`)
    t.equal(hexOf(field('nonce')?.bytes ?? new Uint8Array()).replaceAll(' ', ''), nonce, `${name}: nonce`)
    t.equal(field('MAC')?.bytes.length, 32, `${name}: MAC`)
    let at = 0
    for (const { offset, bytes } of layout.fields) {
      t.equal(offset, at, `${name}: no byte is left out`)
      at += bytes.length
    }
    t.strictSame(layout.claims.map(({ key }) => key).sort(), Object.keys(claims).sort(), `${name}: claims`)
    for (const { key, value, meaning } of layout.claims) {
      t.not(meaning, 'unknown', `${name}: ${key}`)
      if (key === 'u') t.equal(value, JSON.stringify(claims.u), `${name}: user`)
      if (key === 'x') t.equal(Date.parse(value) / 1000, claims.x, `${name}: end of the session`)
      if (key === 'a') t.equal(value.replaceAll(' ', ''), claims.a, `${name}: address`)
    }
  }
})
