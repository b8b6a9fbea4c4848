import { expectAnswers, type Opener, withOpener } from '../drivers/opener.js'
import type { Row, Sample } from '../figures/sample.js'
import type { Target } from '../targets/target.js'
import { loginHex } from './auth.js'
import { ticketHex, timedSample } from './latency.js'
import type { Scenario } from './scenario.js'

const ticketsPerSecond = 500
const seconds = 3
const loginsAtOnce = 32

const rows: readonly Row[] = [
  { name: 'ticket at 500/s, quiet', unit: 'p99, ms' },
  { name: 'ticket at 500/s, login storm', unit: 'p99, ms' },
]

const tickets = (target: Target, opener: Opener, size: number): Promise<Sample> =>
  timedSample(target, async () => {
    const outcome = await opener.run(`http ${size} 64 ${ticketsPerSecond} ${ticketHex(target)}`)
    expectAnswers(outcome, '200', size)
    return outcome
  })

/** Logs in, 32 at a time, until told to stop. Every login gets a token or a request to retry. */
const storm = async (target: Target, opener: Opener, goesOn: () => boolean): Promise<void> => {
  const hex = loginHex(target, target.logins.production)
  while (goesOn()) {
    const { answers } = await opener.run(`http ${loginsAtOnce * 2} ${loginsAtOnce} 0 ${hex}`)
    const { 200: granted = 0, '503 login_busy': busy = 0 } = answers
    if (granted + busy !== loginsAtOnce * 2)
      throw new Error(`logins were answered ${JSON.stringify(answers)}`)
  }
}

/** Ticket latency while the server hashes as many logins as it accepts. */
export const stormScenario: Scenario = {
  name: 'storm',
  rows,
  maxRounds: 1,
  prepare: async (target, count) => {
    const size = Math.max(50, count((ticketsPerSecond * seconds) / target.share))
    return new Map([
      ['ticket at 500/s, quiet', () => withOpener(target, opener => tickets(target, opener, size))],
      [
        'ticket at 500/s, login storm',
        () =>
          withOpener(target, visitors =>
            withOpener(target, async opener => {
              let going = true
              const measured = tickets(target, opener, size).finally(() => {
                going = false
              })
              const [sample] = await Promise.all([measured, storm(target, visitors, () => going)])
              return sample
            }),
          ),
      ],
    ])
  },
}
