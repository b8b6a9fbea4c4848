import t from 'tap'
import {
  fromText,
  headerBytes,
  isNodeName,
  macBytes,
  maxUnsignedBytes,
  nodeOf,
  readHeader,
  readNonce,
  toText,
  writeHeader,
} from '../../src/ticket/codec.js'
import { layOut, nowMs } from './forge.js'

const shortest = headerBytes + macBytes
const longest = maxUnsignedBytes + macBytes

/** Bytes without two equal neighbours; the last one has all bits set. */
const sample = (length: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, index) => (index === length - 1 ? 0xff : index * 37)))

t.test('the sizes match the format', async t => {
  t.strictSame([headerBytes, macBytes, maxUnsignedBytes], [26, 32, 538])
})

t.test('the header is laid out byte by byte', async t => {
  const bytes = Buffer.alloc(12, 0xee)
  writeHeader(bytes, 7, 0x010203040506, 0x0e10)
  t.equal(bytes.toString('hex'), '01' + '07' + '010203040506' + '0e10' + 'eeee')
  t.strictSame(readHeader(bytes), { version: 1, keyId: 7, issuedAtMs: 0x010203040506, ttlSeconds: 3600 })
})

t.test('a header written by other code is read, at the limits too', async t => {
  for (const issuedAtMs of [0, 1, nowMs, 2 ** 32 - 1, 2 ** 32, 2 ** 48 - 1])
    for (const ttlSeconds of [0, 1, 255, 256, 3600, 65_535])
      for (const keyId of [0, 1, 255]) {
        const read = readHeader(layOut({ version: 9, keyId, issuedAtMs, ttlSeconds }))
        t.strictSame(read, { version: 9, keyId, issuedAtMs, ttlSeconds })
      }
})

t.test('a nonce is 16 characters of one byte each, whatever the bytes', async t => {
  for (const first of [0, 0x7f, 0x80, 0xf0]) {
    const nonce = Uint8Array.from({ length: 16 }, (_, index) => (first + index) & 0xff)
    const read = readNonce(layOut({ nonce }))
    t.strictSame(
      Array.from(read, character => character.charCodeAt(0)),
      [...nonce],
    )
  }
})

t.test('bytes survive encoding and decoding', async t => {
  for (let length = shortest; length <= longest; length++) {
    const bytes = sample(length)
    const text = toText('', bytes)
    if (text !== bytes.toString('base64url') || !fromText(text)?.equals(bytes))
      t.fail(`${length} bytes are not decoded to what was encoded`)
  }
  t.strictSame(fromText(toText('edge-1', sample(shortest))), sample(shortest), 'with a node as well')
  t.equal(toText('edge-1', sample(60)), `edge-1.${sample(60).toString('base64url')}`)
})

t.test('the node precedes the first dot, and a leading dot does not mean no node', async t => {
  const cases = [
    ['edge-1.AAAA', 'edge-1'],
    ['AAAA', ''],
    ['.AAAA', '.'],
    ['a.b.c', 'a'],
    ['', ''],
  ] as const
  for (const [text, node] of cases) t.equal(nodeOf(text), node, text)
})

t.test('node names have 1 to 32 of a-z, 0-9 and -', async t => {
  for (const name of ['a', 'edge-1', '0', '-', 'a'.repeat(32)]) t.ok(isNodeName(name), name)
  for (const name of ['', 'a'.repeat(33), 'Edge', 'a.b', 'a b', 'ä', 'a\n', 'a_b', 'a\0'])
    t.notOk(isNodeName(name), JSON.stringify(name))
})

t.test('texts that are not tickets are refused', async t => {
  const text = toText('', sample(60))
  const cases = [
    ['empty', ''],
    ['a byte too short', toText('', sample(shortest - 1))],
    ['a byte too long', toText('', sample(longest + 1))],
    ['a megabyte', 'A'.repeat(1 << 20)],
    ['padding where none is due', `${text}=`],
    ['the padding of 59 bytes', `${toText('', sample(59))}=`],
    ['the padding of 58 bytes', `${toText('', sample(58))}==`],
    ['one extra character', `${text}A`],
    ['a line break at the end', `${text}\n`],
    ['a space before', ` ${text}`],
    ['a space inside', `${text.slice(0, 8)} ${text.slice(8)}`],
    ['a NUL inside', `${text.slice(0, 8)}\0${text.slice(8)}`],
    ['an exclamation mark inside', `${text.slice(0, 8)}!${text.slice(8)}`],
    ['the alphabet with plus and slash', sample(60).toString('base64')],
    ['percent-encoding', `%41${text.slice(1)}`],
    ['a character of two bytes', `${text.slice(0, -1)}ä`],
    ['a character whose low byte is in the alphabet', `${text.slice(0, -1)}\u0141`],
    ['a node alone', 'edge-1.'],
    ['two nodes', `a.b.${text}`],
    ['a dot at the end', `${text}.`],
  ] as const
  t.match(sample(60).toString('base64'), /[+/]/, 'the sample has a character in which the alphabets differ')
  for (const [name, bad] of cases) t.equal(fromText(bad), undefined, name)
})

t.test('the unused bits must be zero', async t => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  for (const [length, variants] of [
    [58, 15],
    [59, 3],
  ] as const) {
    const bytes = sample(length)
    const text = toText('', bytes)
    const siblings = [...alphabet]
      .map(last => text.slice(0, -1) + last)
      .filter(sibling => sibling !== text && Buffer.from(sibling, 'base64url').equals(bytes))
    t.equal(siblings.length, variants, `${variants} other texts decode to the same ${length} bytes`)
    for (const sibling of siblings) t.equal(fromText(sibling), undefined, sibling.slice(-4))
  }
})
