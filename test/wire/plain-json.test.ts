import fc from 'fast-check'
import t from 'tap'
import { readPlain } from '../../src/wire/plain-json.js'

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What JSON.parse makes of a message; undefined if it is not a JSON object. */
function parsed(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = JSON.parse(utf8.decode(bytes))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** What `readPlain` gets wrong in a message; undefined if nothing, or if it does not read it. */
function fault(bytes: Buffer): string | undefined {
  const plain = readPlain(bytes)
  if (plain === undefined) return undefined
  const value = parsed(bytes)
  if (value === undefined) return 'it is not a JSON object'
  for (const name of ['type', 'channel', 'ticket', 'payload'] as const)
    if (plain[name] !== value[name]) return name
  const id = plain.id === undefined ? undefined : JSON.parse(String(plain.id))
  if (id !== value.id) return 'id'
  const data = plain.data === undefined ? undefined : JSON.stringify(JSON.parse(utf8.decode(plain.data)))
  return data === JSON.stringify(value.data) ? undefined : 'data'
}

const member = fc.constantFrom('type', 'channel', 'id', 'ticket', 'payload', 'data', 'x', '__proto__', 'ä')
const short = fc.oneof(fc.string({ maxLength: 8 }), fc.integer(), fc.constantFrom('publish', 'a'.repeat(65)))
const messages = fc
  .tuple(
    fc.array(fc.tuple(member, fc.oneof(short, fc.jsonValue())), { maxLength: 6 }),
    fc.constantFrom('', ' ', '\n\t'),
  )
  .map(
    ([entries, space]) =>
      `${space}{${entries.map(([key, value]) => `${space}"${key}"${space}:${space}${JSON.stringify(value)}`).join(`${space},`)}${space}}${space}`,
  )

t.test('reading in one pass yields the same as JSON.parse', async t => {
  let read = 0
  fc.assert(
    fc.property(messages, text => {
      const bytes = Buffer.from(text)
      if (readPlain(bytes) !== undefined) read++
      return fault(bytes) === undefined
    }),
    { numRuns: 3000 },
  )
  t.ok(read > 300, `enough are read: ${read} of 3,000`)
})

t.test('reading in one pass yields the same as JSON.parse after a change of any byte', async t => {
  const good = Buffer.from(
    '{"type":"publish","channel":"a","data":{"n":[-1.5e+3,true,null,"\u00e4"]},"id":"7"}',
  )
  t.type(readPlain(good), 'object')
  for (let at = 0; at < good.length; at++)
    for (let byte = 0; byte < 256; byte++) {
      const bytes = Buffer.from(good)
      bytes[at] = byte
      const wrong = fault(bytes)
      if (wrong !== undefined) t.fail(`${wrong}: ${bytes.toString('latin1')}`)
    }
  for (let length = 0; length < good.length; length++)
    t.equal(readPlain(good.subarray(0, length)), undefined, `the first ${length} bytes`)
})

t.test('usual messages are read', async t => {
  const cases = [
    ['{"type":"publish","data":"x"}', { type: 'publish', data: Buffer.from('"x"') }],
    ['{"type":"publish","data":{"a":[1,{}]},"id":12}', { id: '12', data: Buffer.from('{"a":[1,{}]}') }],
    [' { "type" : "subscribe" , "channel" : "news" , "id" : "a" } ', { channel: 'news', id: '"a"' }],
    ['{"type":"publish","data":"\u00fc\u{1f600}","other":[]}', { type: 'publish' }],
    ['{"type":"renew","ticket":"AQA"}', { type: 'renew', ticket: 'AQA', data: undefined }],
  ] as const
  for (const [text, expected] of cases) t.match(readPlain(Buffer.from(text)), expected, text)
})

t.test('other messages are left to JSON.parse', async t => {
  const cases = [
    '',
    '{}x',
    '[]',
    '{"type":"publish","type":"ping"}',
    '{"data":1,"data":2}',
    '{"data":"\\u0041"}',
    '{"d\\u0061ta":1}',
    '{"id":1e999}',
    '{"id":true}',
    `{"id":${'1'.repeat(65)}}`,
    '{"type":7}',
    '{"channel":"\u00e4"}',
    '{"data":01}',
    '{"data":1.}',
    '{"data":-}',
    '{"data":tru}',
    '{"data":"\n"}',
    '{"data":[1,]}',
    '{"data":{"a":1,}}',
    '{"a":1,}',
    '\ufeff{}',
    `{"data":${'['.repeat(17)}${']'.repeat(17)}}`,
  ]
  for (const text of cases) t.equal(readPlain(Buffer.from(text)), undefined, text)
  t.equal(readPlain(Buffer.from('{"data":"\xff"}', 'latin1')), undefined, 'not UTF-8')
})
