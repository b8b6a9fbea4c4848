import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import type { Vectors } from '../ticket/make-vectors.js'
import { codeBlocks } from './markdown.js'

const read = (path: string): string =>
  readFileSync(new URL(`../../src/ticket/${path}`, import.meta.url), 'utf8')
const format = read('FORMAT.md')
const vectors = JSON.parse(read('vectors.json')) as Vectors

/** The bytes of a listing: pairs of hexadecimal digits, up to the comment in each line. */
const bytesOf = (listing: string): Buffer =>
  Buffer.from(
    listing
      .split('\n')
      .map(line => /^(?:[0-9a-f]{2} {0,2})+(?=\s|$)/.exec(line)?.[0] ?? '')
      .join('')
      .replaceAll(' ', ''),
    'hex',
  )

t.test('the example is the first valid vector, byte by byte', async t => {
  const [vector] = vectors.valid
  const [ticket = '', prefix = ''] = codeBlocks(format, 'hex')
  const bytes = bytesOf(ticket)
  if (vector === undefined) throw new Error('there is no vector')
  t.equal(`${vector.node}.${bytes.toString('base64url')}`, vector.ticket)
  t.strictSame(codeBlocks(format, 'text'), [vector.ticket])
  t.match(format, vector.key)
  t.match(format, String(vector.nowMs))
  const mac = createHmac('sha256', Buffer.from(vector.key, 'base64url'))
    .update(bytesOf(prefix))
    .update(bytes.subarray(0, -32))
  t.equal(mac.digest('hex'), bytes.subarray(-32).toString('hex'), 'the MAC covers the bytes of the listing')
})
