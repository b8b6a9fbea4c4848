/** Bounds of the time between two attempts, in milliseconds. */
export interface Backoff {
  readonly minDelayMs: number
  readonly maxDelayMs: number
}

/**
 * Returns how long to wait after `failures` attempts in a row have failed, in milliseconds:
 * anything from nothing to a limit that doubles each time ("full jitter"), so that clients which
 * lost their server together do not return together.
 */
export const backoffMs = (failures: number, { minDelayMs, maxDelayMs }: Backoff): number =>
  Math.random() * Math.min(maxDelayMs, minDelayMs * 2 ** failures)

/**
 * Returns when to renew a session that ends in `remainingMs`: at a random time in its last fifth,
 * or in its last minute if that is shorter.
 */
export function renewalDelayMs(remainingMs: number): number {
  const leadMs = Math.min(remainingMs / 5, 60_000)
  return remainingMs - leadMs * (1 - Math.random() / 4)
}

/**
 * The longest wait that a server may request, so that a faulty one cannot keep its clients away for
 * days.
 */
export const longestAskedMs = 600_000
