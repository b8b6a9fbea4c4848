import fc from 'fast-check'
import t from 'tap'
import { parseStrictObject } from '../../src/token/strict-json.js'

const read = (text: string | Uint8Array) => parseStrictObject(Buffer.from(text as string))

t.test('objects are read as JSON.parse reads them', async t => {
  const texts = [
    '{}',
    ' {"a":1}\n',
    '{"a":{"b":[{"c":null},[],{}]},"d":"x:y"}',
    '{"a:b":":","\\"":"\\\\","c":"\\":"}',
    '{"__proto__":1,"constructor":{"__proto__":2}}',
    '{"a":"ä€🦄","b":"\\ud83e\\udd84","c":"\\\\ud800"}',
    '{"":""}',
    '{"1":1,"0":0}',
  ]
  for (const text of texts) t.equal(JSON.stringify(read(text)), JSON.stringify(JSON.parse(text)), text)
})

t.test('texts that are not objects, or that parsers could read differently, are refused', async t => {
  const cases: [name: string, text: string | Uint8Array][] = [
    ['empty', ''],
    ['a list', '[]'],
    ['null', 'null'],
    ['a string', '"a"'],
    ['two objects', '{}{}'],
    ['a comment', '{}//'],
    ['a byte order mark', '\ufeff{}'],
    ['a member twice', '{"a":1,"a":1}'],
    ['a member twice, once escaped', '{"a":1,"\\u0061":2}'],
    ['a member twice, deep inside', '{"a":[{"b":{"c":1,"c":2}}]}'],
    ['a member twice, in a value that is replaced', '{"a":{"b":1},"a":{}}'],
    ['__proto__ twice', '{"__proto__":1,"__proto__":2}'],
    ['a high surrogate alone', '{"a":"\\ud800"}'],
    ['a low surrogate alone', '{"a":"\\uDC00"}'],
    ['surrogates in the wrong order', '{"a":"\\udd84\\ud83e"}'],
    ['a surrogate alone in a name', '{"\\ud800":1}'],
    ['a surrogate after an escaped backslash', '{"a":"\\\\\\ud800"}'],
    ['bytes that are not UTF-8', Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)],
    ['an overlong form', Uint8Array.of(0x7b, 0x22, 0xc0, 0xa2, 0x22, 0x3a, 0x31, 0x7d)],
    ['a surrogate in UTF-8', Buffer.from('7b22eda080223a317d', 'hex')],
    ['deeply nested, and cut short', '{"a":'.repeat(50_000)],
  ]
  for (const [name, text] of cases) t.equal(read(text), undefined, name)
})

t.test('deep nesting does not exhaust the stack', async t => {
  const depth = 20_000
  t.ok(read(`{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`))
  t.equal(read(`{"a":${'['.repeat(depth)}"\\ud800"${']'.repeat(depth)}}`), undefined)
})

t.test('any object is read correctly, and refused once a member is duplicated', async t => {
  const name = fc.string({ unit: 'binary' })
  const object = fc.dictionary(name, fc.jsonValue({ maxDepth: 3 }), { minKeys: 1 })
  fc.assert(
    fc.property(object, fc.nat(), (value, pick) => {
      const text = JSON.stringify(value)
      t.strictSame(JSON.stringify(read(text)), text)
      const names = Object.keys(value)
      const again = JSON.stringify(names[pick % names.length])
      t.equal(read(`{${again}:0,${text.slice(1)}`), undefined)
    }),
    { numRuns: 300 },
  )
})
