import { expectAnswers, requestHex, withOpener } from '../drivers/opener.js'
import { mainThreadCpuNs, measure } from '../figures/cpu.js'
import { cpuSample, type Row } from '../figures/sample.js'
import type { Login, Target } from '../targets/target.js'
import type { Scenario } from './scenario.js'

const logins = 160
const atOnce = 4

/** A login request, in hex. */
export const loginHex = (target: Target, login: Login): string =>
  requestHex(target, 'POST', '/auth', { 'content-type': 'application/json' }, JSON.stringify(login))

const rows: readonly Row[] = [{ name: 'login, hash aside', unit: 'server CPU, µs' }]

/**
 * `POST /auth` of a user with the cheapest possible hash. Node hashes passwords on other threads,
 * so the CPU time of the first thread is that of everything else.
 */
export const authScenario: Scenario = {
  name: 'auth',
  rows,
  prepare: async (target, count) => {
    const size = Math.max(atOnce, count(logins))
    const drive = () =>
      withOpener(target, async opener => {
        const outcome = await opener.run(`http ${size} ${atOnce} 0 ${loginHex(target, target.logins.cheap)}`)
        expectAnswers(outcome, '200', size)
        return outcome.run
      })
    return new Map([
      ['login, hash aside', async () => cpuSample(await measure([target.child.pid], drive, mainThreadCpuNs))],
    ])
  },
}
