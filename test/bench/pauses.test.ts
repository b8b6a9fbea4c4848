import t from 'tap'
import { causesOf, ownPause, pauseTable, type Tick } from '../../bench/figures/pauses.js'

/** Ticks of a millisecond, each with 10 events of 50 µs. */
const usual: Tick[] = Array.from({ length: 20 }, (_, n) => [n + 1, 1, 0.5, 0, 10])

t.test('a burst of handshakes is not counted as a pause of the server', async t => {
  const [pause] = causesOf({ ticks: [[30, 9, 8, 1, 160], ...usual], collections: [] })
  t.match(pause, { eventsMs: 8, garbageMs: 0, restMs: 0, waitedMs: 1 })
  t.equal(pause === undefined ? 1 : ownPause(pause), 0)
})

t.test('garbage collection and other work are counted as pauses of the server', async t => {
  const collections = [{ kind: 'minor', startMs: 22, ms: 4 }]
  const pauses = causesOf({ ticks: [...usual, [30, 9, 8, 0, 10]], collections })
  const last = pauses.at(-1)
  t.match(last, { eventsMs: 0.5, garbageMs: 4, restMs: 3.5 })
  t.match(pauseTable(pauses), /its own: the last two +1 +1 +1 +0 +0 +0 +7\.50/)
})

t.test('a collection that waits for a core counts without the wait', async t => {
  const collections = [{ kind: 'minor', startMs: 22, ms: 8 }]
  const [pause] = causesOf({ ticks: [...usual, [30, 9, 2.5, 6, 10]], collections }).slice(-1)
  t.match(pause, { garbageMs: 2, eventsMs: 0.5, restMs: 0 })
})
