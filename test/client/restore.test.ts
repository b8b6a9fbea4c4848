import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { freePort } from '../support/free-port.js'
import { connectTo } from '../support/gate-client.js'
import { postJson } from '../support/http.js'
import { adminKey, startServer } from '../support/server.js'

const headers = { authorization: `Bearer ${adminKey}` }

// These wait for the periods of a rate, so they run together.
t.jobs = 2

for (const [rate, count] of [
  ['5/1', 15],
  ['1/1', 4],
] as const)
  t.test(`restores ${count} subscriptions at a message rate of ${rate}`, { buffered: true }, t =>
    restored(t, rate, count),
  )

async function restored(t: Test, rate: string, count: number): Promise<void> {
  const channels = Array.from({ length: count }, (_, i) => `c${i}`)
  const env = { TICKETGATE_PORT: String(await freePort()) }
  const first = await startServer(t, { env })
  const { Counting, accepted } = counting()
  const gate = connectTo(t, first.url, { WebSocket: Counting })
  await Promise.all(channels.map(channel => gate.subscribe(channel)))
  first.signal('SIGKILL')
  await first.exited

  const restoring = accepted(count)
  const second = await startServer(t, {
    env: { ...env, TICKETGATE_MESSAGE_RATE: rate },
    stateDir: first.stateDir,
  })
  await restoring
  for (const channel of channels) await postJson(second.admin, '/publish', { channel, data: 1 }, { headers })
  const heard = []
  for (const _ of channels) heard.push((await gate.next('message')).channel)
  t.strictSame(heard, channels)
  const floods = gate.heard.filter(
    ({ name, event }) => name === 'retry' && event.error.code === 'rate_limited',
  )
  t.ok(floods.length <= 1 + Math.ceil(Math.log2(count)), `${floods.length} times`)
  t.notOk(gate.heard.some(({ name }) => name === 'lost'))
}

/** A class of sockets, and a function that waits until one of them has got as many `ok`. */
function counting() {
  let awaited = Infinity
  let resolve = (): void => {}
  class Counting extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols)
      let count = 0
      this.on('message', data => {
        if (String(data).includes('"ok"') && ++count === awaited) resolve()
      })
    }
  }
  const accepted = (count: number): Promise<void> =>
    new Promise(done => {
      awaited = count
      resolve = done
    })
  return { Counting, accepted }
}
