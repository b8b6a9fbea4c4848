import { once } from 'node:events'
import { BroadcastChannel } from 'node:worker_threads'
import t from 'tap'
import { createRelay, type Publication } from '../../src/wire/relay.js'

t.test('other threads get the published data, not the memory around it', async t => {
  const relay = createRelay('relay-test')
  const other = new BroadcastChannel('relay-test')
  t.teardown(() => {
    relay.close()
    other.close()
  })
  const read = Buffer.from('before"hello"after'.padEnd(65_536))
  const data = new Uint8Array(read.buffer, read.byteOffset + 6, 7)
  const heard = once(other as unknown as EventTarget, 'message')
  relay.send({ type: 'publish', channel: 'red', encoding: 'json', data, user: 'maggie' })
  const [{ data: message }] = (await heard) as [{ data: Publication }]
  t.strictSame(
    { ...message, data: Buffer.from(message.data).toString() },
    {
      type: 'publish',
      channel: 'red',
      encoding: 'json',
      data: '"hello"',
      user: 'maggie',
    },
  )
  t.equal(message.data.buffer.byteLength, 7, 'nothing else is cloned')
})
