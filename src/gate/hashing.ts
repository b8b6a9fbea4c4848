import { availableParallelism } from 'node:os'

// Logins wait for a hash in this queue; a longer one would only make them time out.
const maxWaitingLogins = 64

// libuv has four threads, and the user file needs one now and then.
const maxConcurrency = Math.max(1, Math.min(3, availableParallelism()))

/** How a thread hashes passwords, so that all threads together do not hash too many. */
export const hashingLimits = (
  threads: number,
): { readonly concurrency: number; readonly queueLimit: number } => ({
  concurrency: Math.max(1, Math.floor(maxConcurrency / threads)),
  queueLimit: Math.ceil(maxWaitingLogins / threads),
})
