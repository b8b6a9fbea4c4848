import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { LoopStalls } from '../../src/limits/loop-stalls.js'
import { createRowLimit } from '../../src/limits/turn-limit.js'
import { MessageRate } from '../../src/socket/message-rate.js'
import { startServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const rate = { count: 10, seconds: 1 }

t.test('messages that waited for a stopped process do not count as a burst', async t => {
  const server = await startServer(t, { env: { TICKETGATE_MESSAGE_RATE: '10/1' } })
  const join = async (user: string) =>
    (await openSession(socketUrl(server.url, gatePath(await mint(server.url, user))))).client
  const [steady, flooding] = [await join('lisa'), await join('bart')]
  server.signal('SIGSTOP')
  // At 80 % of the rate, until more than a burst is waiting. The pace is what is tested.
  for (let n = 0; n < 40; n++) {
    steady.send({ type: 'ping', id: `${n}` })
    await delay(125)
  }
  for (let n = 0; n < 500; n++) flooding.send({ type: 'ping' })
  server.signal('SIGCONT')
  t.match(await flooding.closed, { code: 4429 }, 'a socket that sent more is closed')
  for (let n = 0; n < 40; n++) t.equal((await steady.next()).id, `${n}`)
  for (let n = 0; n < 5; n++) t.match(await steady.ask({ type: 'ping' }), { type: 'pong' })
})

t.test('a stall allows a socket only as much as it could have sent meanwhile', async t => {
  const passing = (stallMs: number, attempts: number): number => {
    const limit = new MessageRate(rate, { at: () => stallMs })
    let arrivalMs = 0
    let passed = 0
    for (let n = 0; n < attempts; n++) {
      const next = limit.next(arrivalMs, 1_764_000_000_000, rate)
      if (next < 0) continue
      arrivalMs = next
      passed++
    }
    return passed
  }
  t.equal(passing(0, 1000), 20, 'without a stall, the burst')
  t.equal(passing(5000, 1000), 70, 'with a stall, five seconds of the rate more')
})

t.test('a stall counts while it lasts and as long again', async t => {
  let nowMs = 1_764_000_000_000
  const stalls = new LoopStalls(() => nowMs)
  t.teardown(() => stalls.close())
  const after = (ms: number): number => {
    nowMs += ms
    return stalls.at(nowMs)
  }
  t.equal(after(100), 0)
  stalls.tick()
  t.equal(after(5100), 5000, 'it counts before any timer has run')
  stalls.tick()
  t.equal(after(50), 5000, 'it counts while the backlog is read')
  t.equal(after(50), 5000)
  stalls.tick()
  t.equal(after(100), 5000)
  stalls.tick()
  t.equal(after(1100), 5000, 'a shorter stall in between does not replace it')
  stalls.tick()
  for (let n = 0; n < 37; n++) {
    after(100)
    stalls.tick()
  }
  t.equal(after(50), 0, 'then it no longer counts')
  stalls.tick()
  t.equal(after(3_600_000), 60_000, 'at most a minute counts')
})

t.test('one sender’s messages in a row are limited, but not many senders’ messages in a turn', async t => {
  const isTooMuch = createRowLimit(2000)
  const senders = Array.from({ length: 100 }, () => ({}))
  t.notOk(senders.some(sender => Array.from({ length: 400 }, () => isTooMuch(sender)).some(Boolean)))
  const [one = {}] = senders
  t.equal(Array.from({ length: 4000 }, () => isTooMuch(one)).indexOf(true), 3000)
  await new Promise(resolve => setImmediate(resolve))
  await new Promise(resolve => setImmediate(resolve))
  t.notOk(isTooMuch(one), 'the limit starts again in a new turn')
})
