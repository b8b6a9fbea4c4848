/**
 * What the client needs of a browser or of Node, by shape. Neither DOM nor Node types are part of it (a tsconfig of its
 * own makes sure), so that it compiles into either, and neither's types leak into the other.
 */

/** An object of the platform that is passed on without being looked at. */
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

/** `fetch`, or what does the same. */
export type Fetch = (url: string, options: FetchOptions) => Promise<FetchReply>

/** What is used of a WebSocket. */
export interface Socket {
  onmessage: ((event: Opaque) => void) | null
  onclose: ((event: Opaque) => void) | null
  onerror: ((event: Opaque) => void) | null
  send(data: string): void
  close(code?: number): void
}

/** `WebSocket`, or a class of the same interface, as that of the package `ws`. */
export type SocketClass = new (url: string, protocols: string[]) => Socket

export interface ParsedUrl {
  readonly protocol: string
  readonly origin: string
  readonly host: string
  readonly pathname: string
}

export interface Platform {
  readonly fetch?: Fetch
  readonly WebSocket?: SocketClass
  readonly location?: { readonly href: string }
  readonly AbortController: new () => { readonly signal: Opaque; abort(): void }
  readonly URL: new (url: string, base?: string) => ParsedUrl
  setTimeout(run: () => void, ms: number): Opaque
  clearTimeout(timer: Opaque): void
  /** There in pages and workers. */
  readonly addEventListener?: (type: 'online' | 'offline', listener: () => void) => void
  readonly removeEventListener?: (type: 'online' | 'offline', listener: () => void) => void
}

export const platform = globalThis as unknown as Platform

// Above this, timers fire at once.
const longestTimerMs = 2 ** 31 - 1

/** Runs something later; answers what prevents it. */
export function later(ms: number, run: () => void): () => void {
  const timer = platform.setTimeout(run, Math.min(Math.max(0, ms), longestTimerMs))
  return () => platform.clearTimeout(timer)
}
