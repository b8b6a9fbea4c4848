import { setTimeout as sleep } from 'node:timers/promises'
import { closeAll, type RealClient, startClient } from '../../drivers/real-clients.js'
import { say } from '../../figures/text.js'
import type { Target } from '../../targets/target.js'
import { startTicketgate } from '../../targets/ticketgate.js'
import { type Case, playRounds } from './case.js'

const subscribers = 200
const perSecond = 50
const seconds = 15
const outageMs = 2_000

type Numbered = { readonly n: number }

/** What one subscriber has heard, and when it knew that it was cut off, in `performance.now()`. */
interface Listener {
  readonly client: RealClient<Numbered>
  readonly heard: number[]
  readonly gaps: { readonly fromMs: number; untilMs: number }[]
  isOffline: boolean
}

const listen = async (target: Target): Promise<Listener> => {
  const reach = (): Target => {
    if (listener.isOffline) throw new Error('the network is down')
    return target
  }
  const client = startClient<Numbered>({ forTicket: reach, ofTicket: reach }, target.tokens(1)[0] ?? '')
  const listener: Listener = { client, heard: [], gaps: [], isOffline: false }
  await client.connection.opened()
  client.connection.on('message', ({ data }) => listener.heard.push(data.n))
  client.connection.on('retry', ({ failures }) => {
    if (failures === 1 || listener.gaps.at(-1)?.untilMs !== Number.POSITIVE_INFINITY)
      listener.gaps.push({ fromMs: performance.now(), untilMs: Number.POSITIVE_INFINITY })
  })
  client.connection.on('open', () => {
    const gap = listener.gaps.at(-1)
    if (gap !== undefined) gap.untilMs = performance.now()
  })
  return listener
}

/** Cuts a client off for two seconds, once, at a random time that leaves room to come back. */
const dropOnce = async (listener: Listener): Promise<void> => {
  await sleep(1_000 + Math.random() * (seconds * 1_000 - 7_000))
  listener.isOffline = true
  listener.client.cut()
  await sleep(outageMs)
  listener.isOffline = false
}

/** Publishes numbered messages by a schedule. Returns when each was sent. */
const publishAll = async (publisher: RealClient<Numbered>, count: number): Promise<number[]> => {
  const sentMs: number[] = []
  const startMs = performance.now()
  const accepted: Promise<void>[] = []
  for (let n = 0; n < count; n++) {
    await sleep(Math.max(0, startMs + (n * 1_000) / perSecond - performance.now()))
    sentMs.push(performance.now())
    accepted.push(publisher.connection.publish({ n }))
  }
  await Promise.all(accepted)
  return sentMs
}

const percent = (part: number, whole: number): number => (whole === 0 ? 0 : (100 * part) / whole)

const playOnce = async (target: Target, size: number) => {
  const route = { forTicket: () => target, ofTicket: () => target }
  const publisher = startClient<Numbered>(route, target.tokens(1)[0] ?? '')
  await publisher.connection.opened()
  const listeners = await Promise.all(Array.from({ length: size }, () => listen(target)))
  const drops = listeners.map(dropOnce)
  const sentMs = await publishAll(publisher, perSecond * seconds)
  await Promise.all(drops)
  await Promise.all(listeners.map(({ client }) => client.connection.opened()))
  await sleep(1_000) // for what is still on its way
  let [lost, twice, known, guessed, gapMs] = [0, 0, 0, 0, 0]
  for (const { heard, gaps } of listeners) {
    const got = new Set(heard)
    twice += heard.length - got.size
    for (const [n, ms] of sentMs.entries()) {
      if (got.has(n)) continue
      lost++
      if (gaps.some(({ fromMs, untilMs }) => ms >= fromMs - 50 && ms <= untilMs)) known++
    }
    for (const { fromMs, untilMs } of gaps) gapMs += untilMs - fromMs
  }
  guessed = (gapMs / 1000) * perSecond
  await closeAll([publisher, ...listeners.map(({ client }) => client)])
  return {
    lost: percent(lost, sentMs.length * size),
    twice,
    known: percent(known, lost),
    guessed: percent(guessed, lost),
    gap: gapMs / size / 1000,
  }
}

/** What at most once means for clients on a bad network. */
export const dropsCase: Case = {
  name: 'drops',
  async measure({ directory, users, rounds, count }) {
    const target = await startTicketgate(directory, users)
    try {
      const size = Math.max(2, count(subscribers))
      const played = await playRounds(rounds, async round => {
        const figures = await playOnce(target, size)
        say(`drops  round ${round}: ${figures.lost.toFixed(1)} % lost`)
        return figures
      })
      return {
        condition: `${subscribers} clients of \`ticketgate/client\` hear ${perSecond} messages a second for ${seconds} seconds. Each loses its connection once, at a random time, and the network with it for ${outageMs / 1000} seconds; then it comes back by its own waits, with a new ticket. Messages are sent at most once: there is no history, and none is sent again.`,
        figures: [
          { what: 'messages lost', unit: '% of all', values: played.lost },
          { what: 'messages received twice', unit: 'count', values: played.twice },
          { what: 'from the loss until it is open again', unit: 's a client', values: played.gap },
          { what: 'lost between its `retry` and `open` events', unit: '% of the lost', values: played.known },
          {
            what: 'its guess: the usual rate × that time',
            unit: '% of the lost',
            values: played.guessed,
          },
        ],
      }
    } finally {
      await target.stop()
    }
  },
}
