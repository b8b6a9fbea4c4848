import t from 'tap'
import { FrameReader } from '../../src/tunnel/frame-reader.js'
import { FrameError } from '../../src/tunnel/frames.js'

const maxBytes = 70_000

/** A frame as a server sends it. */
const frame = (first: number, payload: string | Buffer): Buffer => {
  const bytes = Buffer.from(payload as string)
  const { length } = bytes
  const header = [first, length < 126 ? length : length < 65_536 ? 126 : 127]
  if (length >= 65_536) header.push(0, 0, 0, 0, length >>> 24, (length >> 16) & 255)
  if (length >= 126) header.push((length >> 8) & 255, length & 255)
  return Buffer.concat([Buffer.from(header), bytes])
}

/** Reads chunks from one reused buffer, as from a socket. Returns the events of the reader. */
function read(chunks: readonly Buffer[]): string[] {
  const heard: string[] = []
  const reader = new FrameReader(
    {
      message: (bytes, isBinary) =>
        heard.push(isBinary ? `binary ${bytes.toString('hex')}` : `text ${bytes}`),
      ping: bytes => heard.push(`ping ${bytes}`),
      closeFrame: (code, reason) => heard.push(`close ${code} ${reason}`),
      ready: () => {},
    },
    maxBytes,
    false,
  )
  const memory = Buffer.alloc(maxBytes * 2)
  for (const chunk of chunks) {
    chunk.copy(memory)
    const bytes = memory.subarray(0, chunk.length)
    reader.hasSeveral(bytes)
    reader.read(bytes)
    bytes.fill(0)
  }
  return heard
}

/** The close code for these chunks, or undefined if they are valid. */
function closeCodeOf(chunks: readonly Buffer[]): number | undefined {
  try {
    read(chunks)
  } catch (error) {
    if (error instanceof FrameError) return error.closeCode
    throw error
  }
  return undefined
}

const conversation = Buffer.concat([
  frame(0x81, ''),
  frame(0x81, 'a'),
  frame(0x82, Buffer.from([0, 255])),
  frame(0x01, Buffer.from([0xc3])),
  frame(0x89, 'between'),
  frame(0x00, ''),
  frame(0x8a, 'an unsolicited pong'),
  frame(0x80, Buffer.from([0xab, 33])),
  frame(0x02, ''),
  frame(0x80, ''),
  frame(0x81, 'x'.repeat(300)),
  frame(0x88, Buffer.from([0x0f, 0xa0, 0x62, 0x79, 0x65])),
])
const expected = [
  'text ',
  'text a',
  'binary 00ff',
  'ping between',
  'text ë!',
  'binary ',
  `text ${'x'.repeat(300)}`,
  'close 4000 bye',
]

t.test('frames are read alike wherever the chunks are cut', async t => {
  t.strictSame(read([conversation]), expected)
  t.strictSame(read([...conversation].map(byte => Buffer.from([byte]))), expected, 'byte by byte')
  for (let at = 1; at < conversation.length; at++)
    t.strictSame(read([conversation.subarray(0, at), conversation.subarray(at)]), expected, `cut at ${at}`)
})

t.test('lengths are read in all three forms', async t => {
  for (const length of [125, 126, 65_535, 65_536, maxBytes]) {
    const bytes = frame(0x81, 'x'.repeat(length))
    const whole = [`text ${'x'.repeat(length)}`]
    t.strictSame(read([bytes]), whole, String(length))
    for (const at of [1, 2, 3, 9, 10, 11])
      t.strictSame(read([bytes.subarray(0, at), bytes.subarray(at)]), whole, `${length}, cut at ${at}`)
  }
})

t.test('nothing is read after a close frame', async t => {
  t.strictSame(read([Buffer.concat([frame(0x88, ''), frame(0x81, 'a')]), frame(0x81, 'b')]), ['close 1005 '])
})

t.test('invalid frames are refused with the right close code', async t => {
  const half = frame(0x01, 'a')
  const cases = [
    ['a masked frame', [Buffer.from([0x81, 0x81, 0, 0, 0, 0, 97])], 1002],
    ['a reserved bit', [frame(0xc1, 'a')], 1002],
    ['an unknown opcode', [frame(0x83, 'a')], 1002],
    ['an unknown control frame', [frame(0x8b, 'a')], 1002],
    ['a continuation without a first frame', [frame(0x80, 'a')], 1002],
    ['a message between the fragments of another', [half, frame(0x81, 'a')], 1002],
    ['a message between the fragments of an empty one', [frame(0x01, ''), frame(0x81, 'a')], 1002],
    ['a fragmented ping', [frame(0x09, 'a')], 1002],
    ['a ping of 126 bytes', [frame(0x89, 'x'.repeat(126))], 1002],
    ['half a close code', [frame(0x88, Buffer.from([3]))], 1002],
    ...[0, 999, 1004, 1005, 1006, 1015, 2999, 5000].map(
      code => [`close code ${code}`, [frame(0x88, Buffer.from([code >> 8, code & 255]))], 1002] as const,
    ),
    ['text that is not UTF-8', [frame(0x81, Buffer.from([0xc3, 0x28]))], 1007],
    ['half a character', [half, frame(0x80, Buffer.from([0xc3]))], 1007],
    ['a surrogate', [frame(0x81, Buffer.from([0xed, 0xa0, 0x80]))], 1007],
    ['a close reason that is not UTF-8', [frame(0x88, Buffer.from([3, 232, 0xff]))], 1007],
    ['a message above the limit', [frame(0x81, 'x'.repeat(maxBytes + 1)).subarray(0, 10)], 1009],
    ['a fragmented message above the limit', [frame(0x01, 'x'.repeat(maxBytes)), frame(0x80, 'x')], 1009],
    ['a length below 126 in 16 bits', [Buffer.from([0x82, 126, 0, 125])], 1002],
    ['a length of 0 in 16 bits', [Buffer.from([0x80 | 1, 126, 0, 0])], 1002],
    ['a length below 65,536 in 64 bits', [Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255])], 1002],
    [
      'the largest length in 64 bits',
      [Buffer.from([0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255])],
      1009,
    ],
  ] as const
  for (const [name, chunks, closeCode] of cases) {
    t.equal(closeCodeOf(chunks), closeCode, name)
    const bytes = [...Buffer.concat(chunks)].map(byte => Buffer.from([byte]))
    t.equal(closeCodeOf(bytes), closeCode, `${name}, byte by byte`)
  }
})
