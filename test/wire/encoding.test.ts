import { Packr, Unpackr } from 'msgpackr'
import t from 'tap'
import { encodings } from '../../src/wire/encoding.js'

const { json, msgpack } = encodings
const packr = new Packr({ useRecords: false, variableMapSize: true })
const pack = (value: unknown): Buffer => Buffer.from(packr.pack(value))
const text = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString()
const none = msgpack.read(pack({}))
const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex')

t.test('the data of a JSON message is kept as it was written', async t => {
  const cases = [
    ['{"type":"publish","data":1}', '1'],
    ['{"data":{"b":1,"a":2},"type":"publish"}', '{"b":1,"a":2}'],
    [' \t\r\n{ "data" :\n[1, 2 ,3]\t, "type":"publish" } ', '[1, 2 ,3]'],
    ['{"data":1e400}', '1e400'],
    ['{"data":12345678901234567890}', '12345678901234567890'],
    ['{"data":-0.10}', '-0.10'],
    ['{"data": null }', 'null'],
    ['{"data":"}]\\",{[\\\\"}', '"}]\\",{[\\\\"'],
    ['{"data":"é😀\\u0000"}', '"é😀\\u0000"'],
    ['{"d\\u0061ta":true}', 'true'],
    ['{"x":{"data":1},"data":2,"y":[{"data":3}]}', '2'],
    ['{"data":{"data":[]}}', '{"data":[]}'],
    ['{"data":""}', '""'],
    ['{"data":[]}', '[]'],
    ['{"\\"data":1,"data\\\\":2}', undefined],
    ['{"type":"ping"}', undefined],
    ['{}', undefined],
  ] as const
  for (const [message, data] of cases) {
    const read = json.read(Buffer.from(message))
    t.ok(read, message)
    t.equal(text(read?.data), data, message)
  }
})

t.test('invalid JSON messages are refused', async t => {
  const deep = (depth: number): string => `{"data":${'['.repeat(depth)}${']'.repeat(depth)}}`
  t.ok(json.read(Buffer.from(deep(128))))
  for (const message of [
    deep(129),
    '',
    'null',
    '[]',
    '[{"data":1}]',
    '"data"',
    '{"data":1',
    '{"data":1}}',
    '{"data":1,"data":2}',
    '{"data":1,"d\\u0061ta":2}',
    '{"data":01}',
    "{'data':1}",
    '{"data":undefined}',
    '\u{feff}{"data":1}',
    '{"data":1,}',
  ])
    t.equal(json.read(Buffer.from(message)), undefined, message)
  t.equal(json.read(hex('7b 22 64 61 74 61 22 3a 22 ff 22 7d')), undefined, 'not UTF-8')
})

t.test('the data of a MessagePack message is kept as it was packed', async t => {
  const cases = [
    ['82 a4 74797065 a7 7075626c697368 a4 64617461 cf ffffffffffffffff', 'cf ffffffffffffffff'],
    ['81 a4 64617461 ca 3f800000', 'ca 3f800000'],
    ['81 a4 64617461 c4 02 00ff', 'c4 02 00ff'],
    ['81 a4 64617461 d1 0001', 'd1 0001'],
    ['81 d9 04 64617461 82 a1 62 01 a1 61 02', '82 a1 62 01 a1 61 02'],
    ['de 0001 a4 64617461 c0', 'c0'],
    ['df 00000001 da 0004 64617461 db 00000001 41', 'db 00000001 41'],
    ['82 a1 78 81 a4 64617461 01 a4 64617461 02', '02'],
  ] as const
  for (const [message, data] of cases)
    t.strictSame(Buffer.from(msgpack.read(hex(message))?.data ?? []), hex(data), message)
  t.match(msgpack.read(pack({ type: 'publish', channel: 'a', id: 7, more: [1] })), {
    type: 'publish',
    channel: 'a',
    id: hex('07'),
    data: undefined,
  })
})

t.test('members of a MessagePack message that are not text are ignored', async t => {
  for (const value of [null, true, 5, 1.5, ['red'], { a: 'red' }, Buffer.from('red')]) {
    const read = msgpack.read(pack({ type: value, channel: value, ticket: value, payload: value }))
    t.match(read, { type: null, channel: null, ticket: null, payload: null }, JSON.stringify(value))
  }
})

t.test('the id of a MessagePack message is kept as it was packed, if it can be an id', async t => {
  const ids = ['05', 'e0', 'd3 ffffffffffffffff', 'cf ffffffffffffffff', 'ca 3f800000', 'a0', 'a2 c3a9']
  for (const id of ids) t.strictSame(msgpack.read(hex(`81 a2 6964 ${id}`))?.id, hex(id), id)
  const others = ['c0', 'c3', '90', '80', 'c4 00', 'cb 7ff0000000000000', 'ca 7fc00000']
  for (const id of others) t.match(msgpack.read(hex(`81 a2 6964 ${id}`)), { id: undefined }, id)
  t.ok(msgpack.read(pack({ id: 'a'.repeat(64) }))?.id)
  t.match(msgpack.read(pack({ id: 'a'.repeat(65) })), { id: undefined })
})

t.test('invalid and truncated MessagePack messages are refused', async t => {
  const nested = (depth: number): Buffer =>
    Buffer.concat([hex('81 a4 64617461'), Buffer.alloc(depth, 0x91), hex('c0')])
  t.ok(msgpack.read(nested(127)))
  const cases = [
    ['nested too deep', nested(129)],
    ['nested absurdly deep', nested(100_000)],
    ['empty', hex('')],
    ['not a map', hex('91 01')],
    ['trailing bytes', hex('80 c0')],
    ['a key that is a number', hex('81 01 01')],
    ['a key that is a number, deeper', hex('81 a4 64617461 81 01 01')],
    ['a key that is bytes', hex('81 c4 04 64617461 01')],
    ['data twice', hex('82 a4 64617461 01 a4 64617461 02')],
    ['type twice', hex('82 a4 74797065 a1 61 a4 74797065 a1 62')],
    ['id twice', hex('82 a2 6964 c0 a2 6964 01')],
    ['a key that is not UTF-8', hex('81 a1 ff 01')],
    ['a channel that is an extension', hex('81 a7 6368616e6e656c d4 00 00')],
    ['an extension', hex('81 a4 64617461 d4 00 00')],
    ['a timestamp', hex('81 a4 64617461 d6 ff 00000000')],
    ['an extension with a size', hex('81 a4 64617461 c7 01 01 00')],
    ['the byte without a meaning', hex('81 a4 64617461 c1')],
    ['text that is not UTF-8', hex('81 a4 64617461 a1 ff')],
    ['a list of 4 billion', hex('81 a4 64617461 dd ffffffff')],
    ['text of 4 billion', hex('81 a4 64617461 db ffffffff')],
    ['bytes of 4 billion', hex('81 a4 64617461 c6 ffffffff')],
  ] as const
  for (const [name, message] of cases) t.equal(msgpack.read(message), undefined, name)
  const whole = pack({ type: 'publish', data: [1.5, 'text é', { a: new Uint8Array(3) }, 2 ** 40, -5, null] })
  t.ok(msgpack.read(whole))
  for (let length = 0; length < whole.length; length++)
    t.equal(msgpack.read(whole.subarray(0, length)), undefined, `the first ${length} bytes`)
})

t.test('any bytes can be read, and accepted data can be unpacked and converted', async t => {
  let seed = 1
  const random = (): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return seed / 2 ** 32
  }
  const starts = [
    pack({ type: 'publish', channel: 'x', data: { a: [1, 'two', null, true, 3.5, new Uint8Array(2)] } }),
    Buffer.from('{"type":"publish","channel":"x","data":{"a":[1,"two",null,true,3.5]}}'),
  ]
  let taken = 0
  for (let round = 0; round < 40_000; round++) {
    const bytes = Buffer.from(starts[round % 2] ?? '')
    for (let changes = 1 + Math.floor(random() * 3); changes > 0; changes--)
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    for (const [from, to] of [
      [msgpack, json],
      [json, msgpack],
    ] as const) {
      const data = from.read(bytes)?.data
      if (data === undefined) continue
      taken++
      to.unpack(to.convert(data))
    }
  }
  t.ok(taken > 1000, `enough messages are accepted: ${taken}`)
})

t.test('lists of messages are read', async t => {
  const batch = '[ {"channel":"a","data":[1]} , {"data":"x","channel":"b"}]'
  t.strictSame(
    json.readAll(Buffer.from(batch))?.map(({ channel, data }) => [channel, text(data)]),
    [
      ['a', '[1]'],
      ['b', '"x"'],
    ],
  )
  t.strictSame(json.readAll(Buffer.from('[]')), [])
  t.equal(
    json.readAll(Buffer.from('{"channel":"a","data":1}'))?.length,
    1,
    'a single message counts as a list of one',
  )
  for (const bad of ['[1]', '[{"data":1,"data":2}]', '[[]]', '5', '[{"data":1},null]'])
    t.equal(json.readAll(Buffer.from(bad)), undefined, bad)
  const packed = pack([
    { channel: 'a', data: [1] },
    { channel: 'b', data: 'x' },
  ])
  t.strictSame(
    msgpack.readAll(packed)?.map(({ channel, data }) => [channel, packr.unpack(data ?? Buffer.alloc(0))]),
    [
      ['a', [1]],
      ['b', 'x'],
    ],
  )
  for (const bad of ['91 01', '92 80', '91 80 c0', 'dd ffffffff'])
    t.equal(msgpack.readAll(hex(bad)), undefined, bad)
})

t.test('data is converted between encodings', async t => {
  const toJson = [
    ['cf ffffffffffffffff', '18446744073709551615'],
    ['d3 8000000000000000', '-9223372036854775808'],
    ['ca 3fc00000', '1.5'],
    ['cb 7ff0000000000000', 'null'],
    ['cb 7ff8000000000000', 'null'],
    ['c4 03 000102', '"AAEC"'],
    ['83 a1 32 01 a1 31 02 a9 5f5f70726f746f5f5f c3', '{"2":1,"1":2,"__proto__":true}'],
    ['93 c0 a1 22 80', '[null,"\\"",{}]'],
    ['40', '64'],
  ] as const
  for (const [from, to] of toJson) t.equal(text(json.convert(hex(from))), to, from)
  const toMsgpack = [
    ['1', '01'],
    ['"é"', 'a2 c3a9'],
    ['{"__proto__":1}', '81 a9 5f5f70726f746f5f5f 01'],
    ['{"constructor":0,"toJSON":1}', '82 ab 636f6e7374727563746f72 00 a6 746f4a534f4e 01'],
    ['[{"c\\u006fnstructor":null,"toJSON":1}]', '91 82 ab 636f6e7374727563746f72 c0 a6 746f4a534f4e 01'],
    ['["\\ud800",{"\\udc00x":1}]', '92 a3 efbfbd 81 a4 efbfbd78 01'],
    ['"\\ud83d\\ude00"', 'a4 f09f9880'],
    ['1e400', 'cb 7ff0000000000000'],
    ['[null,false,{}]', '93 c0 c2 80'],
  ] as const
  for (const [from, to] of toMsgpack)
    t.strictSame(Buffer.from(msgpack.convert(Buffer.from(from))), hex(to), from)
})

t.test('the envelope wraps the data unchanged', async t => {
  t.equal(
    text(json.envelope('a.b', Buffer.from('1e400'), 'né"e')),
    '{"type":"message","channel":"a.b","data":1e400,"user":"né\\"e"}',
  )
  t.equal(text(json.envelope('', Buffer.from('[]'), undefined)), '{"type":"message","channel":"","data":[]}')
  const message = msgpack.envelope('a'.repeat(100), hex('cf ffffffffffffffff'), 'née')
  t.strictSame(packr.unpack(message), {
    type: 'message',
    channel: 'a'.repeat(100),
    data: 2n ** 64n - 1n,
    user: 'née',
  })
  t.strictSame(packr.unpack(msgpack.envelope('', hex('c0'), undefined)), {
    type: 'message',
    channel: '',
    data: null,
  })
})

t.test('a key is recognised in every text format, and nothing similar is', async t => {
  const header = (size: number): readonly Buffer[] => [
    Buffer.from([0xa0 | size]),
    Buffer.from([0xd9, size]),
    Buffer.from([0xda, 0, size]),
    Buffer.from([0xdb, 0, 0, 0, size]),
  ]
  const formsOf = (key: string): readonly Buffer[] =>
    header(Buffer.byteLength(key)).map(head => Buffer.concat([head, Buffer.from(key)]))
  const map = (...entries: readonly (readonly [key: Buffer, value: unknown])[]): Buffer =>
    Buffer.concat([
      Buffer.from([0x80 | entries.length]),
      ...entries.flatMap(([key, value]) => [key, pack(value)]),
    ])

  const names = ['type', 'channel', 'id', 'ticket', 'payload']
  for (const name of names)
    for (const [form, key] of formsOf(name).entries()) {
      const value = name === 'id' ? pack('x') : 'x'
      t.strictSame(msgpack.read(map([key, 'x'])), { ...none, [name]: value }, `${name}, form ${form}`)
      for (const again of formsOf(name)) t.equal(msgpack.read(map([key, 'x'], [again, 'y'])), undefined)
    }
  for (const key of formsOf('data')) t.equal(text(msgpack.read(map([key, 'x']))?.data), '\u{fffd}x')

  const near = [
    '',
    't',
    'typ',
    'types',
    'Type',
    'type\0',
    '\0type',
    'tyqe',
    'dat\u00e1',
    'i',
    'idd',
    '__proto__',
  ]
  for (const name of near)
    for (const key of formsOf(name)) {
      t.strictSame(msgpack.read(map([key, 'x'], [key, 'y'])), none, JSON.stringify(name))
      t.equal(msgpack.read(Buffer.concat([map([key, 'x']), Buffer.of(0)])), undefined)
    }
})

t.test('msgpackr unpacks no part of a message until its data is needed', async t => {
  const keys = 5455
  const entries = Array.from({ length: keys }, () => hex('a1 61 c0'))
  const message = Buffer.concat([Buffer.from([0xde, keys >> 8, keys & 255]), ...entries])
  const unpack = t.capture(Unpackr.prototype, 'unpack', Unpackr.prototype.unpack)
  t.strictSame(msgpack.read(message), none)
  t.match(msgpack.read(pack({ type: 'publish', data: 1, id: 2, x: 3 })), { type: 'publish', id: hex('02') })
  t.equal(unpack().length, 0)
})

t.test('a JSON id is returned as it was written', async t => {
  const cases: readonly (readonly [written: string, back?: string])[] = [
    ['7'],
    ['-0'],
    ['1.0'],
    ['1e2'],
    ['1E+2'],
    ['0.10'],
    ['9007199254740993'],
    ['18446744073709551615'],
    ['123456789012345678901234567890'],
    ['1e308'],
    ['"a"'],
    ['""'],
    ['"\\u0061\\n"', '"a\\n"'],
    ['"\\ud800"', '"\\ud800"'],
    [`"${'x'.repeat(64)}"`],
    [`"${'😀'.repeat(32)}"`],
  ]
  for (const [written, back = written] of cases)
    for (const message of [
      `{"type":"ping","id":${written}}`,
      ` { "id" : ${written} , "type" : "ping" , "data" : [ { "id" : 1 } ] } `,
      `{"type":"ping","i\\u0064":${written}}`,
    ]) {
      const id = json.read(Buffer.from(message))?.id
      t.equal(json.write({ type: 'pong' }, id), `{"type":"pong","id":${back}}`, message)
    }
  t.equal(
    String(json.read(Buffer.from('{"id":1,"id":2}'))?.id),
    '2',
    'the last of several ids counts, as in JSON.parse',
  )
  t.equal(String(json.read(Buffer.from('{"id":1,"id":"a"}'))?.id), '"a"')
  const none = ['null', 'true', '[]', '{}', '1e400', `"${'x'.repeat(65)}"`, `0.${'1'.repeat(63)}`]
  for (const written of none)
    t.equal(json.read(Buffer.from(`{"type":"ping","id":${written}}`))?.id, undefined, written)
})

t.test('a MessagePack id is returned byte for byte', async t => {
  const written = [
    '07',
    'e0',
    'ff',
    'cc 07',
    'cd 0007',
    'ce 00000007',
    'cf 0000000000000007',
    'cf ffffffffffffffff',
    'd0 80',
    'd1 8000',
    'd2 80000000',
    'd3 0000000000000007',
    'd3 8000000000000000',
    'ca 3fc00000',
    'cb 3ff0000000000000',
    'a0',
    'a1 61',
    'd9 01 61',
    'db 00000001 61',
  ]
  const ping = pack('type').toString('hex') + pack('ping').toString('hex')
  const read = (id: string) => msgpack.read(hex(`82 ${ping} a2 6964 ${id}`))
  for (const id of written) {
    t.strictSame(Buffer.from(read(id)?.id ?? []), hex(id), id)
    const pong = `${pack('type').toString('hex')}${pack('pong').toString('hex')}`
    t.strictSame(msgpack.write({ type: 'pong' }, read(id)?.id), hex(`82 ${pong} a2 6964 ${id}`), id)
  }
  const none = [
    'c0',
    'c2',
    'c3',
    '90',
    '80',
    'c4 01 00',
    'ca 7f800000',
    'cb 7ff8000000000000',
    `d9 41 ${'61'.repeat(65)}`,
  ]
  for (const id of none) {
    t.match(read(id), { type: 'ping' })
    t.equal(read(id)?.id, undefined, id)
  }
})

t.test('integers of 64 bits keep their digits, for applications and in JSON', async t => {
  for (const [bytes, value] of [
    ['cf 0000000000000005', 5],
    ['d3 0000000000000005', 5],
    ['d3 fffffffffffffffb', -5],
    ['cf 001fffffffffffff', 2 ** 53 - 1],
    ['cf 0020000000000001', 2n ** 53n + 1n],
    ['cf ffffffffffffffff', 2n ** 64n - 1n],
    ['d3 8000000000000000', -(2n ** 63n)],
  ] as const) {
    t.equal(msgpack.unpack(hex(bytes)), value, bytes)
    t.equal(text(json.convert(hex(bytes))), String(value), bytes)
  }
})
