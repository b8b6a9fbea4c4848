import t from 'tap'
import { FrameBatch, type FrameSink } from '../../src/tunnel/frame-batch.js'

/** A sink that either keeps the buffers it is given, or copies them. */
class Sink implements FrameSink {
  readonly writes: Buffer[] = []
  readonly #isHolding: boolean
  onWritten = (): void => {}

  constructor(isHolding = false) {
    this.#isHolding = isHolding
  }

  write(bytes: Buffer): boolean {
    this.writes.push(this.#isHolding ? bytes : Buffer.from(bytes))
    return this.#isHolding
  }

  written(): void {
    this.onWritten()
  }

  /** The frames that were sent, unmasked as in RFC 6455 section 5.3. */
  get frames(): { readonly kind: number; readonly payload: Buffer }[] {
    const bytes = Buffer.concat(this.writes)
    const frames: { kind: number; payload: Buffer }[] = []
    for (let at = 0; at < bytes.length; ) {
      const [first = 0, second = 0] = bytes.subarray(at, at + 2)
      if ((first & second & 0x80) === 0) throw new Error('a frame is not final, or not masked')
      const form = second & 0x7f
      const header = form === 127 ? 10 : form === 126 ? 4 : 2
      const length =
        form === 127
          ? Number(bytes.readBigUInt64BE(at + 2))
          : form === 126
            ? bytes.readUInt16BE(at + 2)
            : form
      const mask = bytes.subarray(at + header, at + header + 4)
      at += header + 4
      const payload = Buffer.from(bytes.subarray(at, at + length)).map((byte, n) => byte ^ (mask[n % 4] ?? 0))
      frames.push({ kind: first & 0x0f, payload: Buffer.from(payload) })
      at += length
    }
    return frames
  }
}

const payloadOf = (length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, n) => (n * 7 + length) & 255))

t.test('frames of every size arrive unchanged, in few writes', async t => {
  const lengths = [...Array(300).keys(), 65_527, 65_528, 65_529, 65_535, 65_536, 200_001, 5]
  for (const isHolding of [false, true]) {
    const batch = new FrameBatch()
    const sink = new Sink(isHolding)
    for (const length of lengths) batch.add(sink, 0x82, payloadOf(length))
    batch.flush()
    const { frames } = sink
    t.equal(frames.length, lengths.length)
    for (const [n, { kind, payload }] of frames.entries())
      if (kind !== 2 || !payload.equals(payloadOf(lengths[n] ?? 0))) t.fail(`${lengths[n]} bytes`)
    t.ok(sink.writes.length < 12, `${lengths.length} frames in ${sink.writes.length} writes`)
  }
})

t.test('frames for several sockets go to each, in order', async t => {
  const batch = new FrameBatch()
  const sinks = [new Sink(true), new Sink(), new Sink(true)]
  for (let turn = 0; turn < 50; turn++) {
    for (let n = 0; n < 90; n++) batch.add(sinks[(n >> 1) % 3] as Sink, 0x81, Buffer.from(`${turn}.${n}`))
    batch.flush()
  }
  for (const [index, sink] of sinks.entries()) {
    const expected: string[] = []
    for (let turn = 0; turn < 50; turn++)
      for (let n = 0; n < 90; n++) if ((n >> 1) % 3 === index) expected.push(`${turn}.${n}`)
    t.strictSame(
      sink.frames.map(({ payload }) => String(payload)),
      expected,
    )
  }
})

t.test('a frame added during a write is not lost', async t => {
  const batch = new FrameBatch()
  const sink = new Sink()
  sink.onWritten = () => {
    sink.onWritten = () => {}
    batch.add(sink, 0x88, Buffer.from('bye'))
  }
  batch.add(sink, 0x81, Buffer.from('a'))
  await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
  t.strictSame(
    sink.frames.map(({ kind, payload }) => `${kind} ${payload}`),
    ['1 a', '8 bye'],
  )
})

t.test('each frame has its own mask', async t => {
  const batch = new FrameBatch()
  const sink = new Sink()
  for (let n = 0; n < 3000; n++) batch.add(sink, 0x81, Buffer.alloc(4))
  batch.flush()
  const bytes = Buffer.concat(sink.writes)
  const masks = new Set(Array.from({ length: 3000 }, (_, n) => bytes.readUInt32BE(n * 10 + 2)))
  t.ok(masks.size > 2990, `${masks.size} of 3000 masks are different`)
})
