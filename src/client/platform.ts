/**
 * What the client needs from a browser, Node or React Native, by structure. It uses neither DOM nor
 * Node types (a separate tsconfig ensures this), so it compiles with either and requires neither.
 */

/** An object of the platform that is only passed on. */
type Opaque = never

export interface FetchOptions {
  readonly method: string
  readonly headers: Record<string, string>
  readonly body?: string
  readonly signal: Opaque
}

export interface FetchReply {
  readonly ok: boolean
  readonly status: number
  readonly headers: { get(name: string): string | null }
  json(): Promise<unknown>
}

/** `fetch`, or a function of the same interface. */
export type Fetch = (url: string, options: FetchOptions) => Promise<FetchReply>

/** The members of a WebSocket that the client uses. */
export interface Socket {
  onopen: ((event: Opaque) => void) | null
  onmessage: ((event: Opaque) => void) | null
  onclose: ((event: Opaque) => void) | null
  onerror: ((event: Opaque) => void) | null
  send(data: string): void
  close(code?: number): void
}

/** `WebSocket`, or a class of the same interface, as that of the package `ws`. */
export type SocketClass = new (url: string, protocols: string[]) => Socket

export interface Platform {
  readonly fetch?: Fetch
  readonly WebSocket?: SocketClass
  readonly location?: { readonly href: string }
  readonly AbortController: new () => { readonly signal: Opaque; abort(): void }
  readonly URL: new (url: string, base: string) => { readonly href: string }
  setTimeout(run: () => void, ms: number): Opaque
  clearTimeout(timer: Opaque): void
  /** Pages and workers have it. */
  readonly addEventListener?: (type: 'online' | 'offline', listener: () => void) => void
  readonly removeEventListener?: (type: 'online' | 'offline', listener: () => void) => void
}

export const platform = globalThis as unknown as Platform

/** @throws TypeError if an option is not given and the platform has no default for it */
export function requireDefined<Value>(name: string, value: Value | undefined): Value {
  if (value === undefined) throw new TypeError(`${name}: this platform has none, so pass one`)
  return value
}

// Above this, timers fire at once.
const longestTimerMs = 2 ** 31 - 1

const start = (ms: number, run: () => void): Opaque =>
  platform.setTimeout(run, Math.min(Math.max(0, ms), longestTimerMs))

/** Runs something after `ms` milliseconds. Returns a function that cancels it. */
export function schedule(ms: number, run: () => void): () => void {
  const timer = start(ms, run)
  return () => platform.clearTimeout(timer)
}

/** The same for work that should not keep a Node process running. */
export function scheduleIdly(ms: number, run: () => void): () => void {
  const timer = start(ms, run)
  ;(timer as { unref?(): void }).unref?.()
  return () => platform.clearTimeout(timer)
}
