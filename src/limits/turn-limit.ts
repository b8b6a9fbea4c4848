// An immediate costs as much as a small answer: one is asked for every so many.
const checkEvery = 1000

/**
 * Counts requests, or messages, and says of one that it is too many: when `most` more have come within one turn of the
 * event loop. So many hardly come from clients that wait for answers, but from one that writes without end: uWS reads on
 * as long as there is something to read, and nobody else is served, no timer runs, no signal arrives. Whoever is told so has to close that connection, after which another may have as many. Where thousands of clients
 * have waited for a process that was stopped, it may be one of them that has to come again.
 */
export function createTurnLimit(most: number): () => boolean {
  let counted = 0
  return () => {
    counted++
    if (counted === checkEvery)
      setImmediate(() => {
        counted = 0
      })
    if (counted <= checkEvery + most) return false
    counted = checkEvery
    return true
  }
}
