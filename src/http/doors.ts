import type { TemplatedApp } from 'uWebSockets.js'

// uWS.js has these three, and its types do not.
declare module 'uWebSockets.js' {
  interface TemplatedApp {
    getDescriptor(): unknown
    addChildAppDescriptor(descriptor: unknown): void
    removeChildAppDescriptor(descriptor: unknown): void
  }
}

/** One uWS app behind a port. */
export interface Door {
  readonly app: TemplatedApp
  /** How many WebSockets came in by it and are open. */
  sockets: number
  /** When another one took its place, of `performance.now()`; undefined for the one that is open. */
  shutAtMs: number | undefined
}

/** What is left of plain HTTP on a door that was shut: uWS closes a connection that is idle for 10 s. */
const lingerMs = 15_000

/**
 * The uWS apps behind one port, as one. uWS reads the files of a certificate when it makes an app and
 * never again, so a new certificate takes a new app, which gets every connection from then on; those
 * that are open stay with the app that they came in by. The first app listens all the time and hands
 * connections over, so the port is never without a listener.
 */
export class Doors {
  readonly first: TemplatedApp
  #all: readonly Door[]
  /** Those with sockets, once there is more than one. */
  #peopled: readonly Door[]

  constructor(first: TemplatedApp) {
    this.first = first
    this.#all = [{ app: first, sockets: 0, shutAtMs: undefined }]
    this.#peopled = this.#all
  }

  /** Whether subscribers of one topic may be behind several doors. */
  get isSplit(): boolean {
    return this.#peopled.length > 1
  }

  /** The door of an app. */
  of(app: TemplatedApp): Door {
    const door = this.#all.find(each => each.app === app)
    if (door === undefined) throw new TypeError('this app is none of these doors')
    return door
  }

  /**
   * Lets every further connection in by `app`.
   * @param mount adds the routes to it
   */
  replace(app: TemplatedApp, mount: (app: TemplatedApp) => void): void {
    const before = this.#all.find(({ shutAtMs }) => shutAtMs === undefined)
    const door: Door = { app, sockets: 0, shutAtMs: undefined }
    this.#all = [...this.#all, door]
    mount(app)
    this.first.addChildAppDescriptor(app.getDescriptor())
    if (before !== undefined) this.#shut(before)
    this.#findPeopled()
  }

  /** A WebSocket has opened behind a door. */
  enter(door: Door): void {
    if (door.sockets++ === 0 && this.#all.length > 1) this.#findPeopled()
  }

  /** A WebSocket behind a door has closed. */
  leave(door: Door): void {
    if (--door.sockets === 0 && this.#all.length > 1) this.#findPeopled()
  }

  /** Closes the doors that were shut and are not used any more. To be called from time to time. */
  sweep(nowMs: number): void {
    if (this.#all.length === 1) return
    const isDone = ({ app, sockets, shutAtMs }: Door): boolean =>
      app !== this.first && sockets === 0 && shutAtMs !== undefined && nowMs - shutAtMs >= lingerMs
    const done = this.#all.filter(isDone)
    if (done.length === 0) return
    this.#all = this.#all.filter(door => !isDone(door))
    for (const { app } of done) app.close()
  }

  numSubscribers(topic: string): number {
    let subscribers = 0
    for (const { app } of this.#peopled) subscribers += app.numSubscribers(topic)
    return subscribers
  }

  publish(topic: string, message: Uint8Array, isBinary: boolean, compress: boolean): boolean {
    let isHeard = false
    for (const { app } of this.#peopled) isHeard = app.publish(topic, message, isBinary, compress) || isHeard
    return isHeard
  }

  /** Closes everything that is open. Once: uWS ends the process when an app is closed twice. */
  close(): void {
    for (const { app } of this.#all) app.close()
  }

  #shut(door: Door): void {
    door.shutAtMs = performance.now()
    if (door.app !== this.first) this.first.removeChildAppDescriptor(door.app.getDescriptor())
  }

  #findPeopled(): void {
    this.#peopled = this.#all.filter(({ sockets }) => sockets > 0)
  }
}
