import { once } from 'node:events'
import { BroadcastChannel } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { maxBatchBytes, type PackedPublications } from '../../src/wire/publication-batch.js'
import type { Publication } from '../../src/wire/relay.js'
import { ThreadRelay } from '../../src/wire/thread-relay.js'

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

const publication = (data: string, more: Partial<Publication> = {}): Publication => ({
  type: 'publish',
  channel: 'red',
  encoding: 'json',
  data: Buffer.from(data),
  ...more,
})

/** Two relays, as on two threads. `received(n)` resolves with the next n publications. */
const connect = (t: Test, name: string) => {
  const [sender, receiver] = [new ThreadRelay(name), new ThreadRelay(name)]
  const queue: Record<string, unknown>[] = []
  let wake = (): void => {}
  receiver.onMessage(message => {
    queue.push({ ...message, data: text(message.data) })
    wake()
  })
  t.teardown(() => {
    sender.close()
    receiver.close()
  })
  const received = async (count: number): Promise<Record<string, unknown>[]> => {
    while (queue.length < count)
      await new Promise<void>(resolve => {
        wake = resolve
      })
    return queue.splice(0, count)
  }
  return { sender, received }
}

t.test('other threads receive publications whole and in order', async t => {
  const { sender, received } = connect(t, 'whole')
  const sent = [
    publication('"first"', { user: 'maggie' }),
    publication('', { channel: '', encoding: 'msgpack' }),
    publication('"third"', { channel: 'blue', user: 'theo' }),
    publication('"ü"'),
  ]
  for (const message of sent) sender.send(message)
  t.strictSame(
    await received(sent.length),
    sent.map(message => ({ ...message, data: text(message.data) })),
  )
})

t.test('data may be gone once it was sent', async t => {
  const { sender, received } = connect(t, 'copied')
  const data = Buffer.from('"hello"')
  sender.send(publication('', { data }))
  data.fill(0)
  t.match(await received(1), [{ data: '"hello"' }])
})

t.test('any number and size arrives, and nothing twice', async t => {
  const { sender, received } = connect(t, 'sizes')
  for (const sizes of [
    Array<number>(1_000).fill(10),
    Array<number>(30).fill(maxBatchBytes / 10),
    [maxBatchBytes - 1, 1, 1, maxBatchBytes, maxBatchBytes + 1, 3 * maxBatchBytes, 5],
  ]) {
    const sent = sizes.map((size, index) => `${index} `.padEnd(size, 'x'))
    for (const data of sent) sender.send(publication(data))
    const arrived = (await received(sent.length)).map(({ data }) => data)
    // A comparison of long texts would print them.
    t.strictSame(
      sent.flatMap((data, index) => (data === arrived[index] ? [] : [index])),
      [],
      'all are the same',
    )
  }
  sender.send(publication('"last"'))
  t.match(await received(1), [{ data: '"last"' }], 'nothing came in between')
})

t.test('publications of one turn are one message, with no memory around them', async t => {
  const { sender } = connect(t, 'packed')
  const raw = new BroadcastChannel('packed')
  t.teardown(() => raw.close())
  const read = Buffer.from('before"hello"after'.padEnd(65_536))
  const data = new Uint8Array(read.buffer, read.byteOffset + 6, 7)
  const message = once(raw as unknown as EventTarget, 'message')
  sender.send(publication('', { data }))
  sender.send(publication('"more"'))
  const [{ data: packed }] = (await message) as [{ data: PackedPublications }]
  t.strictSame(packed.ends, [7, 13])
  t.equal(text(packed.bytes), '"hello""more"')
  t.equal(packed.bytes.buffer.byteLength, 13)
})

t.test('a relay that closes hands over what it has, and then nothing', async t => {
  const { sender, received } = connect(t, 'closing')
  sender.send(publication('"sent"'))
  sender.close()
  sender.send(publication('"late"'))
  sender.close()
  t.match(await received(1), [{ data: '"sent"' }])
})
