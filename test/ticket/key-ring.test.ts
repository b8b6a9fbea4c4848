import t from 'tap'
import { macHolds, type TicketKey, ticketKey, writeMac } from '../../src/ticket/key-ring.js'
import { newBootKey } from '../support/boot-key.js'
import { labelOf, layOut, macOf, secret } from './forge.js'

const body = layOut()

const sign = (key: TicketKey, body: Buffer): Buffer => {
  const mac = Buffer.alloc(32)
  writeMac(key, body, body.length, mac, 0)
  return mac
}

const holds = (key: TicketKey, body: Buffer, mac: Uint8Array): boolean =>
  macHolds(key, Buffer.concat([body, mac]), body.length)

t.test('the MAC is HMAC-SHA-256 over label, node and body', async t => {
  for (const node of ['', 'edge-1', 'a', 'n'.repeat(32)]) {
    const key = ticketKey(1, secret, node)
    t.strictSame(sign(key, body), macOf(body, labelOf(node)), `node '${node}'`)
    t.ok(holds(key, body, macOf(body, labelOf(node))))
  }
})

t.test(
  'the MAC is right for secrets around the block size of the hash, and bodies of every length',
  async t => {
    for (const length of [32, 33, 63, 64, 65, 127, 128, 200, 1000]) {
      const long = Uint8Array.from({ length }, (_, index) => index * 7 + length)
      const key = ticketKey(1, long, 'edge-1')
      const wrong: number[] = []
      for (let bytes = 0; bytes <= 538; bytes++) {
        const body = Buffer.alloc(bytes, length + bytes)
        if (!sign(key, body).equals(macOf(body, labelOf('edge-1'), long))) wrong.push(bytes)
      }
      t.strictSame(wrong, [], `a secret of ${length} bytes`)
    }
  },
)

t.test('a key keeps no state between signatures, nor from other keys', async t => {
  const keys = [ticketKey(1, secret), ticketKey(2, secret, 'edge-1'), ticketKey(3, new Uint8Array(32))]
  const fresh = (key: number, body: Uint8Array) =>
    key === 2 ? macOf(body, labelOf(), new Uint8Array(32)) : macOf(body, labelOf(key === 1 ? 'edge-1' : ''))
  const wrong: string[] = []
  for (let n = 0; n < 500; n++) {
    const at = n % keys.length
    const key = keys[at]
    const body = Buffer.alloc((n * 131) % 539, n)
    if (key === undefined || !sign(key, body).equals(fresh(at, body))) wrong.push(`key ${at}, body ${n}`)
  }
  t.strictSame(wrong, [])
})

t.test('the MAC is written at its offset, and nowhere else', async t => {
  const target = Buffer.alloc(50, 0xee)
  writeMac(ticketKey(1, secret), body, body.length, target, 9)
  t.strictSame(target, Buffer.concat([Buffer.alloc(9, 0xee), macOf(body), Buffer.alloc(9, 0xee)]))
})

t.test('invalid MACs are refused', async t => {
  const key = ticketKey(1, secret)
  const good = macOf(body)
  const other = Uint8Array.from(secret, (byte, index) => (index === 31 ? byte ^ 1 : byte))
  const cases = [
    ['zeros', Buffer.alloc(32)],
    ['of another key', macOf(body, labelOf(), other)],
    ['of another node', macOf(body, labelOf('a'))],
    ['without the label', macOf(body, Buffer.alloc(0))],
    ['without the zero bytes', macOf(body, Buffer.from('ticketgate.ticket.v1'))],
    ['of another version of the label', macOf(body, Buffer.from('ticketgate.ticket.v2\0\0'))],
    ['of the body without its first byte', macOf(body.subarray(1))],
    ['with the first bit flipped', Buffer.concat([Buffer.of((good[0] ?? 0) ^ 0x80), good.subarray(1)])],
    ['with the last bit flipped', Buffer.concat([good.subarray(0, -1), Buffer.of((good[31] ?? 0) ^ 1)])],
  ] as const
  for (const [name, mac] of cases) t.notOk(holds(key, body, mac), name)
  t.notOk(holds(key, body.subarray(1), good), 'a truncated body')
  t.ok(holds(key, body, good), 'the right MAC still holds')
})

t.test('a node cannot be mistaken for the first bytes of a ticket', async t => {
  const beginning = String.fromCharCode(body[0] ?? 0)
  const shifted = sign(ticketKey(1, secret, beginning), body.subarray(1))
  t.notOk(holds(ticketKey(1, secret), body, shifted))
})

t.test('every boot key is different', async t => {
  const keys = Array.from({ length: 50 }, () => newBootKey())
  t.equal(new Set(keys.map(key => sign(key, body).toString('hex'))).size, keys.length)
  t.equal(keys.filter(({ id }) => id !== 0).length, 0, 'all have id 0')
})

t.test('invalid key ids and short secrets are refused', async t => {
  for (const id of [-1, 256, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
    t.throws(() => ticketKey(id, secret), TypeError, `id ${id}`)
  for (const length of [0, 1, 31])
    t.throws(() => ticketKey(1, secret.subarray(0, length)), /32 bytes/, `${length} bytes`)
  t.equal(ticketKey(255, secret).id, 255)
})
