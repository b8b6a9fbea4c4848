import { setImmediate as nextTurn } from 'node:timers/promises'

// Handshakes and messages wait for so long at most.
const sliceMs = 2

// To ask for the time costs about as much as a look at a socket.
const looksBetween = 32

/**
 * Does something with each item, a slice in each turn of the event loop; ends early when it returns
 * false.
 */
export async function inSlices<Item>(
  items: readonly Item[],
  act: (item: Item) => boolean | undefined,
): Promise<void> {
  let sliceEndsMs = performance.now() + sliceMs
  for (const [index, item] of items.entries()) {
    if (act(item) === false) return
    if (index % looksBetween !== 0 || performance.now() < sliceEndsMs) continue
    await nextTurn()
    sliceEndsMs = performance.now() + sliceMs
  }
}
