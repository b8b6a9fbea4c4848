/** Bounds of the time between two attempts, in milliseconds. */
export interface Backoff {
  readonly minDelayMs: number
  readonly maxDelayMs: number
}

/**
 * How long to wait after `failures` attempts in a row have failed: anything from nothing to a limit that doubles each
 * time ("full jitter"), so that clients which lost their server in one moment do not come back in one.
 */
export const backoffMs = (failures: number, { minDelayMs, maxDelayMs }: Backoff): number =>
  Math.random() * Math.min(maxDelayMs, minDelayMs * 2 ** failures)

/** When to renew a session that ends in `remainingMs`: in its last fifth, or its last minute if that is less, spread. */
export function renewalDelayMs(remainingMs: number): number {
  const leadMs = Math.min(remainingMs / 5, 60_000)
  return remainingMs - leadMs * (1 - Math.random() / 4)
}

/** The longest wait that a server may ask for: one that is mistaken must not keep its clients away for days. */
export const longestAskedMs = 600_000
