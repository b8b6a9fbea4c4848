import { clock, steadyClock } from '../clock.js'
import type { Log } from '../telemetry/log.js'

const lookEveryMs = 1000

// Less is what a step of NTP may be, and what the clock leaves to the skew.
const tellFromMs = 2000

/**
 * Logs when the clock of this process follows the system clock ahead, and when that is behind it:
 * once each, as it happens.
 */
export function watchClock(log: Log): { close(): void } {
  let followedMs = 0
  let isBehind = false
  const look = (): void => {
    const nowMs = clock()
    const followsMs = nowMs - steadyClock()
    const seconds = (ms: number): number => Math.round(ms / 1000)
    if (followsMs - followedMs >= tellFromMs)
      log.warn(
        { seconds: seconds(followsMs - followedMs) },
        'the system clock went ahead, as after a pause of the machine: what has expired by then is refused',
      )
    followedMs = followsMs
    const aheadMs = nowMs - Date.now()
    if (aheadMs >= tellFromMs && !isBehind)
      log.error(
        { seconds: seconds(aheadMs) },
        'the system clock went back: tickets and sessions still end by the later time. Restart once it is right',
      )
    isBehind = aheadMs >= tellFromMs
  }
  const timer = setInterval(look, lookEveryMs)
  timer.unref()
  return { close: () => clearInterval(timer) }
}
