import t from 'tap'
import { addressKeyOf, type NewSession, packAddress, rightsOf, Session } from '../../src/socket/session.js'
import type { Rights } from '../../src/ticket/rights.js'
import { encodings } from '../../src/wire/encoding.js'

t.test('equal rights share one object, different ones do not', async t => {
  const kinds: readonly Rights[] = [
    {},
    { channel: '' },
    { channel: 'a' },
    { channel: 'null' },
    { publish: [] },
    { subscribe: [] },
    { publish: [], subscribe: [] },
    { publish: ['a'] },
    { subscribe: ['a'] },
    { publish: ['a', 'b'] },
    { publish: ['a'], subscribe: ['b'] },
    { publish: [''] },
    { publish: ['*'] },
    { channel: 'a', publish: [] },
    { channel: 'a', subscribe: [] },
  ]
  const kept = kinds.map(rights => rightsOf(rights))
  for (const [index, rights] of kinds.entries()) {
    t.strictSame(JSON.parse(JSON.stringify(kept[index])), rights)
    t.equal(rightsOf(structuredClone(rights)), kept[index])
  }
  t.equal(new Set(kept).size, kinds.length)
  const claims = { user: 'maggie', session: 's', publish: ['a'] }
  t.strictSame(
    Object.keys(rightsOf(claims)).sort(),
    ['channel', 'publish', 'subscribe'],
    'nothing else of a ticket is kept',
  )
})

const sessionOf = (some: Partial<NewSession>): Session =>
  new Session({
    id: 's',
    user: 'u',
    channel: '',
    rights: {},
    issuedAtSeconds: 0,
    expiresAtSeconds: 0,
    encoding: encodings.json,
    origin: '',
    address: '',
    openedAtSeconds: 0,
    ...some,
  })

t.test('sessions that share values keep their own fields', async t => {
  const combinations = ['', 'a', 'json'].flatMap(channel =>
    [encodings.json, encodings.msgpack].flatMap(encoding =>
      ['', 'https://a.example', 'null'].map(origin => ({ channel, encoding, origin })),
    ),
  )
  for (const combination of [...combinations, ...combinations]) {
    const { channel, encoding, origin } = sessionOf(combination)
    t.strictSame(
      { channel, encoding: encoding.name, origin },
      { ...combination, encoding: combination.encoding.name },
    )
  }
})

t.test('a flood of different values is never confused', async t => {
  for (let n = 0; n < 3000; n++) {
    t.equal(rightsOf({ channel: `c${n}` }).channel, `c${n}`)
    const { channel, origin } = sessionOf({ channel: `c${n}`, origin: `https://o${n}` })
    if (channel !== `c${n}` || origin !== `https://o${n}`) t.fail(`${channel} from ${origin}`)
  }
})

t.test('an address is kept unchanged, and grouped as for the caps', async t => {
  const session = (address: string) => sessionOf({ address })
  const v4 = packAddress(Uint8Array.of(203, 0, 113, 255))
  t.equal(addressKeyOf(session(v4)), v4)
  const v6 = packAddress(Uint8Array.from({ length: 16 }, (_, n) => 240 + n))
  t.equal(addressKeyOf(session(v6)), v6.slice(0, 8), 'an IPv6 address is grouped by its /64')
  t.equal(addressKeyOf(session('')), '')
})
