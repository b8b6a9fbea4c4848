import { execFile } from 'node:child_process'
import type { Log } from '../telemetry/log.js'

/** Tells the service manager how the server is. */
export interface ServiceManager {
  /** It serves: systemd starts what waits for it, and the watchdog is fed from now on. */
  ready(): void
  /** It drains, and is not to be killed for being slow within its `TimeoutStopSec=`. */
  stopping(): void
}

const nobody: ServiceManager = { ready() {}, stopping() {} }

/**
 * The systemd of a unit with `Type=notify` (sd_notify(3)); elsewhere nobody is told anything.
 *
 * Node cannot send datagrams to a Unix socket, so the program systemd-notify does it. Each message
 * comes from a process of its own: `NotifyAccess=all` is required.
 */
export function serviceManager(env: NodeJS.ProcessEnv, log: Log): ServiceManager {
  if (env.NOTIFY_SOCKET === undefined) return nobody
  const notify = (...states: readonly string[]): void => {
    execFile('systemd-notify', states, error => {
      if (error !== null) log.warn({ err: error }, 'systemd could not be notified')
    })
  }
  // Microseconds. Two messages in the time that the watchdog waits, as sd_watchdog_enabled(3) says.
  const intervalMs = Number(env.WATCHDOG_USEC ?? 0) / 2000
  return {
    ready() {
      notify('--ready')
      // From the event loop itself: one that is stuck stays silent.
      if (intervalMs > 0) setInterval(() => notify('WATCHDOG=1'), intervalMs).unref()
    },
    stopping: () => notify('STOPPING=1'),
  }
}
