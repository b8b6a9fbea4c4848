import { closeExpired } from './closing.js'
import type { Socket } from './session.js'

/**
 * All open sockets, by the second in which their session ends: one structure serves expiry,
 * revocation and draining, without a timer for each socket. Each second has a list that runs
 * through the sockets themselves, so a socket costs two references.
 */
export class SocketTable {
  readonly #heads = new Map<number, Socket>()
  #size = 0

  get size(): number {
    return this.#size
  }

  add(ws: Socket): void {
    const data = ws.getUserData()
    const { expiresAtSeconds } = data.session
    const head = this.#heads.get(expiresAtSeconds)
    data.next = head
    data.previous = undefined
    if (head !== undefined) head.getUserData().previous = ws
    this.#heads.set(expiresAtSeconds, ws)
    this.#size++
  }

  /** Does nothing for a socket that is not in the table. */
  delete(ws: Socket): void {
    const data = ws.getUserData()
    const { next, previous } = data
    const { expiresAtSeconds } = data.session
    if (previous !== undefined) previous.getUserData().next = next
    else if (this.#heads.get(expiresAtSeconds) !== ws) return
    else if (next !== undefined) this.#heads.set(expiresAtSeconds, next)
    else this.#heads.delete(expiresAtSeconds)
    if (next !== undefined) next.getUserData().previous = previous
    data.next = undefined
    data.previous = undefined
    this.#size--
  }

  /** Moves a socket to another end of its session. */
  renew(ws: Socket, expiresAtSeconds: number): void {
    this.delete(ws)
    ws.getUserData().session.expiresAtSeconds = expiresAtSeconds
    this.add(ws)
  }

  /**
   * Closes every socket that ends at `nowSeconds`: with 4401, or with 4408 if it has not
   * authenticated.
   */
  closeExpired(nowSeconds: number): void {
    // Closing removes a socket from its list, so the list is read first.
    for (const [second, head] of [...this.#heads])
      if (second <= nowSeconds) for (const ws of [...listFrom(head)]) closeExpired(ws)
  }

  /** The sockets that match. Scans all of them. */
  filter(isAsked: (ws: Socket) => boolean): Socket[] {
    const found: Socket[] = []
    for (const head of this.#heads.values()) for (const ws of listFrom(head)) if (isAsked(ws)) found.push(ws)
    return found
  }

  all(): Socket[] {
    return this.filter(() => true)
  }

  /** Some sockets that are open, at most `count`. */
  take(count: number): Socket[] {
    const taken: Socket[] = []
    for (const head of this.#heads.values())
      for (const ws of listFrom(head)) {
        if (taken.length === count) return taken
        taken.push(ws)
      }
    return taken
  }
}

function* listFrom(head: Socket | undefined): Generator<Socket> {
  for (let ws = head; ws !== undefined; ws = ws.getUserData().next) yield ws
}
