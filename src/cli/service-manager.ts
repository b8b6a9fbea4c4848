import { execFile } from 'node:child_process'
import type { Log } from '../telemetry/log.js'

/** Tells the service manager how the server is. */
export interface ServiceManager {
  /** Reports that the server is ready. From now on it also feeds the watchdog. */
  ready(): void
  /** Reports that the server drains, so that systemd allows it its `TimeoutStopSec=`. */
  stopping(): void
}

const nobody: ServiceManager = { ready() {}, stopping() {} }

/**
 * systemd, for a unit with `Type=notify` (sd_notify(3)). Does nothing under other managers.
 *
 * Node cannot send datagrams to a Unix socket, so the program systemd-notify does it. Each message
 * comes from a new process, so the unit needs `NotifyAccess=all`.
 */
export function serviceManager(env: NodeJS.ProcessEnv, log: Log): ServiceManager {
  if (env.NOTIFY_SOCKET === undefined) return nobody
  const notify = (...states: readonly string[]): void => {
    execFile('systemd-notify', states, error => {
      if (error !== null) log.warn({ err: error }, 'systemd could not be notified')
    })
  }
  // Microseconds. sd_watchdog_enabled(3) recommends two messages per watchdog interval.
  const intervalMs = Number(env.WATCHDOG_USEC ?? 0) / 2000
  return {
    ready() {
      notify('--ready')
      // Sent from the event loop, so that a blocked one stays silent.
      if (intervalMs > 0) setInterval(() => notify('WATCHDOG=1'), intervalMs).unref()
    },
    stopping: () => notify('STOPPING=1'),
  }
}
