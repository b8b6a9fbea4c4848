import t from 'tap'
import { packClaims as packClaimsInto, type TicketClaims, unpackClaims } from '../../src/ticket/claims.js'
import { pack, vectorClaims, vectorClaimsHex } from './forge.js'

/** Claims as the code under test packs them. */
const packClaims = (claims: TicketClaims): Buffer => {
  const target = Buffer.alloc(600)
  return target.subarray(3, packClaimsInto(claims, target, 3))
}
const required = { u: 'maggie', x: 1_764_000_900 }
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

t.test('claims are packed as one map of short keys', async t => {
  t.equal(packClaims({ user: 'm', sessionEndsAtSeconds: 5 }).toString('hex'), '82' + 'a175a16d' + 'a17805')
  t.equal(packClaims(vectorClaims).toString('hex'), vectorClaimsHex)
})

t.test('claims packed by other code are read', async t => {
  t.strictSame(unpackClaims(hex(vectorClaimsHex)), vectorClaims)
  t.strictSame(
    unpackClaims(hex('82 a178 05 a175 a16d')),
    { user: 'm', sessionEndsAtSeconds: 5 },
    'in any order',
  )
})

t.test('numbers and strings in longer encodings are read, as other languages write them', async t => {
  const cases = [
    ['uint64', '82 a175 a16d a178 cf 0000000000000005'],
    ['int64', '82 a175 a16d a178 d3 0000000000000005'],
    ['int32', '82 a175 a16d a178 d2 00000005'],
    ['float64', '82 a175 a16d a178 cb 4014000000000000'],
    ['map16', 'de 0002 a175 a16d a178 05'],
    ['map32', 'df 00000002 a175 a16d a178 05'],
    ['str8', '82 a175 d9 01 6d a178 05'],
    ['str16', '82 a175 da 0001 6d a178 05'],
  ] as const
  for (const [name, text] of cases)
    t.strictSame(unpackClaims(hex(text)), { user: 'm', sessionEndsAtSeconds: 5 }, name)
  for (const [name, number] of [
    ['uint64 beyond the safe integers', 'cf 0020000000000000'],
    ['uint64 of all bits', 'cf ffffffffffffffff'],
    ['int64 below zero', 'd3 ffffffffffffffff'],
  ] as const)
    t.equal(unpackClaims(hex(`82 a175 a16d a178 ${number}`)), undefined, name)
})

t.test('absent claims stay absent, and empty ones stay empty', async t => {
  const bare = { user: 'm', sessionEndsAtSeconds: 5 }
  t.strictSame(unpackClaims(packClaims(bare)), bare)
  const empty = { ...bare, channel: '', publish: [], subscribe: [], tokenIssuedAtSeconds: 0 }
  t.strictSame(unpackClaims(packClaims(empty)), empty, 'the empty channel is not "any channel"')
})

t.test('carried claims are read back unchanged, whatever their size', async t => {
  const bare = { user: 'm', sessionEndsAtSeconds: 5 }
  const numbers = [0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 1e300, 0.1, 5e-324]
  for (const number of [...numbers, ...numbers.map(each => -each)]) {
    const packed = packClaims({ ...bare, carried: { n: number } })
    t.equal(unpackClaims(packed)?.carried?.n, number === 0 ? 0 : number, String(number))
    if (number > -(2 ** 31) && Math.abs(number) < 2 ** 32)
      t.strictSame(
        packed,
        pack({ u: 'm', x: 5, d: { n: number === 0 ? 0 : number } }),
        `${number} is packed as msgpackr packs it`,
      )
  }
  const carried = {
    email: 'a@b.test',
    'x-y': '\u0000\n€😀',
    on: true,
    off: false,
    roles: ['', 'a,b'],
    none: [],
  }
  const read = unpackClaims(packClaims({ ...bare, carried }))?.carried
  t.strictSame({ ...read }, carried)
  t.equal(read?.constructor, undefined, 'a claim that was not carried is undefined')
  const note = (length: number) => ({ ...bare, carried: { note: 'n'.repeat(length) } })
  const target = Buffer.alloc(600)
  t.type(packClaimsInto(note(248), target), 'number', '256 bytes')
  t.equal(packClaimsInto(note(249), target), undefined, '257 bytes')
})

t.test('an address outlives the buffer it was read from', async t => {
  const bytes = packClaims(vectorClaims)
  const claims = unpackClaims(bytes)
  bytes.fill(0)
  t.strictSame(claims, vectorClaims)
})

t.test('claims with an invalid or unknown member are refused', async t => {
  const cases: readonly (readonly [name: string, members: Readonly<Record<string, unknown>>])[] = [
    ['no user', { x: 5 }],
    ['no end of session', { u: 'm' }],
    ['user empty', { ...required, u: '' }],
    ['user a number', { ...required, u: 5 }],
    ['user nil', { ...required, u: null }],
    ['user binary', { ...required, u: Buffer.from('m') }],
    ['user a list', { ...required, u: ['m'] }],
    ['user of 257 bytes', { ...required, u: 'a'.repeat(257) }],
    ['user of 86 characters and 258 bytes', { ...required, u: '€'.repeat(86) }],
    ['user with a line break', { ...required, u: 'maggie\n' }],
    ['user with a C1 control', { ...required, u: 'mag\x9bgie' }],
    ['end negative', { ...required, x: -1 }],
    ['end a fraction', { ...required, x: 5.5 }],
    ['end infinite', { ...required, x: Number.POSITIVE_INFINITY }],
    ['end not a number', { ...required, x: Number.NaN }],
    ['end beyond the safe integers', { ...required, x: 2 ** 53 }],
    ['end a string', { ...required, x: '5' }],
    ['end a date', { ...required, x: new Date(5000) }],
    ['end true', { ...required, x: true }],
    ['issued negative', { ...required, t: -1 }],
    ['issued a string', { ...required, t: '5' }],
    ['issued nil', { ...required, t: null }],
    ['session a number', { ...required, i: 1 }],
    ['session empty', { ...required, i: '' }],
    ['session of 129 characters', { ...required, i: 'a'.repeat(129) }],
    ['session with a space', { ...required, i: 'a b' }],
    ['channel that is not a name', { ...required, c: 'a/b' }],
    ['channel of 129 characters', { ...required, c: 'a'.repeat(129) }],
    ['channel that is a prefix', { ...required, c: 'chat.*' }],
    ['channel nil', { ...required, c: null }],
    ['channel a list', { ...required, c: ['red'] }],
    ['channel false', { ...required, c: false }],
    ['publish a string', { ...required, p: 'chat.*' }],
    ['publish a map', { ...required, p: { 0: 'red' } }],
    ['publish with a star in the middle', { ...required, p: ['a*b'] }],
    ['subscribe with a pattern that is not a name', { ...required, s: ['a b'] }],
    ['publish with a number in it', { ...required, p: ['red', 5] }],
    ['publish with a list in it', { ...required, p: [['red']] }],
    ['subscribe nil', { ...required, s: null }],
    ['subscribe with nil in it', { ...required, s: [null] }],
    ['origin a number', { ...required, o: 0 }],
    ['origin a list', { ...required, o: ['https://a.test'] }],
    ['address a string', { ...required, a: '203.0.113.9' }],
    ['address a list of numbers', { ...required, a: [32, 203, 0, 113, 9] }],
    ['address empty', { ...required, a: Buffer.alloc(0) }],
    ['address a byte short', { ...required, a: Buffer.of(32, 203, 0, 113) }],
    ['address a byte long', { ...required, a: Buffer.of(24, 203, 0, 113, 9) }],
    ['address of 129 bits', { ...required, a: Buffer.alloc(18, 129) }],
    ['epoch a string', { ...required, e: '0123456789abcdef' }],
    ['epoch a byte short', { ...required, e: Buffer.alloc(15) }],
    ['epoch a byte long', { ...required, e: Buffer.alloc(17) }],
    ['epoch a list', { ...required, e: Array(16).fill(0) }],
    ['an unknown member', { ...required, z: 1 }],
    ['a long name', { ...required, user: 'm' }],
    ['a capital', { ...required, C: 'red' }],
    ['an empty name', { ...required, '': 1 }],
    ['a number for a name', { ...required, 1: 1 }],
    ['constructor', { ...required, constructor: 'x' }],
    ['toString', { ...required, toString: 'x' }],
  ]
  for (const [name, members] of cases) t.equal(unpackClaims(pack(members)), undefined, name)
})

t.test('bytes that are not exactly one map are refused', async t => {
  const good = hex('82 a175 a16d a178 05')
  t.ok(unpackClaims(good), 'the bytes from which the cases are made are valid')
  const cases = [
    ['nothing', ''],
    ['nil', 'c0'],
    ['a number', '05'],
    ['a string', 'a175'],
    ['binary', 'c4 02 a175'],
    ['an empty map', '80'],
    ['a list of the same items', '94 a175 a16d a178 05'],
    ['a list around the map', '91 82 a175 a16d a178 05'],
    ['a byte after it', '82 a175 a16d a178 05 c0'],
    ['a second map after it', '82 a175 a16d a178 05 80'],
    ['a map with fewer members than its length says', '83 a175 a16d a178 05'],
    ['__proto__ as a key', '83 a175 a16d a178 05 a9 5f5f70726f746f5f5f 80'],
    ['the undefined of msgpackr as a value', '83 a175 a16d a178 05 a163 d40000'],
    ['the byte that MessagePack never uses', '83 a175 a16d a178 05 a163 c1'],
    ['a list of 2^32 - 1', 'dd ffffffff'],
    ['a map of 2^32 - 1', 'df ffffffff'],
    ['a string of 2^32 - 1', '82 a175 db ffffffff a178 05'],
    ['binary of 2^32 - 1', '83 a175 a16d a178 05 a161 c6 ffffffff'],
    ['a list of 2^32 - 1 inside', '83 a175 a16d a178 05 a170 dd ffffffff'],
    ['512 nested lists', '91'.repeat(512)],
    ['256 nested maps', '81c0'.repeat(256)],
    ['the same key twice', '83 a175 a16d a178 05 a175 a16e'],
    ['the same key twice in a map16', 'de 0003 a175 a16d a178 05 a175 a16e'],
    ['a record, an extension of msgpackr', 'd472 40 92 a175 a178 a16d 05'],
  ] as const
  for (const [name, text] of cases) t.equal(unpackClaims(hex(text)), undefined, name)
})

t.test('truncated claims are refused', async t => {
  const whole = packClaims(vectorClaims)
  for (let length = 0; length < whole.length; length++)
    t.equal(unpackClaims(whole.subarray(0, length)), undefined, `the first ${length} bytes`)
})
