import { setImmediate as nextTurn } from 'node:timers/promises'

// The longest delay of handshakes and messages.
const sliceMs = 2

// Reading the time costs about as much as scanning one socket.
const looksBetween = 32

/** Processes each item, a slice per turn of the event loop. Ends early if the callback returns false. */
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
