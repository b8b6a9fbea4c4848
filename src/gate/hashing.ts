import { availableParallelism } from 'node:os'

// Logins wait in this queue for a hash. In a longer one they would only time out.
const maxWaitingLogins = 64

// libuv has four threads, and the user file occasionally needs one.
const maxConcurrency = Math.max(1, Math.min(3, availableParallelism()))

/**
 * Limits for hashing passwords in one of `threads` threads, so that all of them together do not
 * hash too many.
 */
export const hashingLimits = (
  threads: number,
): { readonly concurrency: number; readonly queueLimit: number } => ({
  concurrency: Math.max(1, Math.floor(maxConcurrency / threads)),
  queueLimit: Math.ceil(maxWaitingLogins / threads),
})
