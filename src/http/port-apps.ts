import type { TemplatedApp } from 'uWebSockets.js'

// uWS.js has these three methods, but its types do not.
declare module 'uWebSockets.js' {
  interface TemplatedApp {
    getDescriptor(): unknown
    addChildAppDescriptor(descriptor: unknown): void
    removeChildAppDescriptor(descriptor: unknown): void
  }
}

/** One of the uWS apps behind a port. */
export interface PortApp {
  readonly app: TemplatedApp
  /** How many open WebSockets it has. */
  sockets: number
  /** When another app replaced it, by `performance.now()`. Undefined for the current one. */
  retiredAtMs: number | undefined
}

/**
 * How long a retired app may still have plain HTTP connections: uWS closes idle ones after 10 s.
 */
const lingerMs = 15_000

/**
 * The uWS apps behind one port, as one. uWS reads the files of a certificate only when it creates
 * an app. So a new certificate takes a new app, which gets all further connections, while open ones
 * stay with their app. The first app keeps listening and hands connections over, so the port is
 * never without a listener.
 */
export class PortApps {
  readonly first: TemplatedApp
  #all: readonly PortApp[]
  /** The apps with sockets, once there is more than one. */
  #inUse: readonly PortApp[]

  constructor(first: TemplatedApp) {
    this.first = first
    this.#all = [{ app: first, sockets: 0, retiredAtMs: undefined }]
    this.#inUse = this.#all
  }

  /** Whether subscribers of one topic may be spread over several apps. */
  get isSplit(): boolean {
    return this.#inUse.length > 1
  }

  /** Returns the entry of an app. */
  of(app: TemplatedApp): PortApp {
    const portApp = this.#all.find(each => each.app === app)
    if (portApp === undefined) throw new TypeError('this app does not belong to the port')
    return portApp
  }

  /**
   * Makes `app` accept all further connections.
   * @param mount adds the routes to it
   */
  replace(app: TemplatedApp, mount: (app: TemplatedApp) => void): void {
    const before = this.#all.find(({ retiredAtMs }) => retiredAtMs === undefined)
    const portApp: PortApp = { app, sockets: 0, retiredAtMs: undefined }
    this.#all = [...this.#all, portApp]
    mount(app)
    this.first.addChildAppDescriptor(app.getDescriptor())
    if (before !== undefined) this.#retire(before)
    this.#findInUse()
  }

  /** Counts a WebSocket of an app. */
  enter(portApp: PortApp): void {
    if (portApp.sockets++ === 0 && this.#all.length > 1) this.#findInUse()
  }

  /** Counts a closed WebSocket of an app. */
  leave(portApp: PortApp): void {
    if (--portApp.sockets === 0 && this.#all.length > 1) this.#findInUse()
  }

  /** Closes retired apps that are no longer used. Call it from time to time. */
  sweep(nowMs: number): void {
    if (this.#all.length === 1) return
    const isDone = ({ app, sockets, retiredAtMs }: PortApp): boolean =>
      app !== this.first && sockets === 0 && retiredAtMs !== undefined && nowMs - retiredAtMs >= lingerMs
    const done = this.#all.filter(isDone)
    if (done.length === 0) return
    this.#all = this.#all.filter(portApp => !isDone(portApp))
    for (const { app } of done) app.close()
  }

  numSubscribers(topic: string): number {
    let subscribers = 0
    for (const { app } of this.#inUse) subscribers += app.numSubscribers(topic)
    return subscribers
  }

  publish(topic: string, message: Uint8Array, isBinary: boolean, compress: boolean): boolean {
    let isHeard = false
    for (const { app } of this.#inUse) isHeard = app.publish(topic, message, isBinary, compress) || isHeard
    return isHeard
  }

  /**
   * Closes everything that is open. Call it once: uWS ends the process if an app is closed twice.
   */
  close(): void {
    for (const { app } of this.#all) app.close()
  }

  #retire(portApp: PortApp): void {
    portApp.retiredAtMs = performance.now()
    if (portApp.app !== this.first) this.first.removeChildAppDescriptor(portApp.app.getDescriptor())
  }

  #findInUse(): void {
    this.#inUse = this.#all.filter(({ sockets }) => sockets > 0)
  }
}
