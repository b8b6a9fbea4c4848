// An immediate costs as much as a small response, so there is one per this many events.
const checkEvery = 1000

/**
 * Returns a function that counts an event, and returns whether more than `most` have come in one
 * turn of the event loop. Clients that wait for responses hardly cause that many; a client that
 * writes without pause does: uWS keeps reading while there is data, and meanwhile serves no other
 * client and runs no timers. The caller must then close that connection. If thousands of clients
 * were waiting for a stopped process, this may hit one of them, which has to retry.
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

/**
 * Like {@link createTurnLimit}, where the sender of an event is known: counts only those that come
 * in a row from one sender. So it spares the thousands of clients that wait for a stopped process.
 */
export function createRowLimit(most: number): (sender: object) => boolean {
  let latest: object | undefined
  let counted = 0
  return sender => {
    if (sender !== latest) {
      latest = sender
      counted = 0
    }
    counted++
    if (counted === checkEvery)
      setImmediate(() => {
        latest = undefined
      })
    if (counted <= checkEvery + most) return false
    counted = checkEvery
    return true
  }
}
