import type { WebSocket } from 'uWebSockets.js'

// At most one upgrade runs at a time in a thread.
let isCorked = false
let opened: WebSocket<unknown> | undefined
let openLate: (() => void) | undefined

/**
 * Upgrades in a separate turn of the event loop, in one write, and opens the socket after that.
 *
 * When the callback of `cork` returns, uWS reads from the response whether to close its
 * connection. After an upgrade, that memory has been freed, and if anything has been allocated
 * there, the new socket may be closed (uWebSockets pull request 1929, not released on npm yet). So
 * nothing else happens in the callback.
 * @param upgrade upgrades within the `cork` of the response
 */
export function upgradeLate(upgrade: () => void): void {
  isCorked = true
  try {
    upgrade()
  } finally {
    isCorked = false
  }
  const open = openLate
  opened = undefined
  openLate = undefined
  open?.()
}

/** For uWS `open`: opens the socket, now or after its late upgrade. */
export function openWhenUpgraded<Data>(ws: WebSocket<Data>, open: (ws: WebSocket<Data>) => void): void {
  if (!isCorked) return open(ws)
  opened = ws as WebSocket<unknown>
  openLate = () => ws.cork(() => open(ws))
}

/**
 * For uWS `close`: whether the socket has been closed before it was opened. It never will be then.
 */
export function isUnopened<Data>(ws: WebSocket<Data>): boolean {
  if (ws !== opened) return false
  openLate = undefined
  return true
}
