import { isChannelName, routes } from '../protocol.js'
import { backoffMs, longestAskedMs } from './backoff.js'
import type { Connection, ConnectOptions, Events, State } from './connection.js'
import { createEmitter, createFeed, type Feed } from './events.js'
import { GateError } from './gate-error.js'
import { type Link, type Message, openLink } from './link.js'
import { baseOf, given } from './options.js'
import { later, platform } from './platform.js'
import { keepRenewed } from './renewal.js'
import { createTicketOffice } from './tickets.js'

// A connection that lasted this long was a success: the next wait is a short one.
const steadyMs = 10_000

const defaultReaderLimit = 1024
const goodbyeMs = 3000

/** How long one attempt and what came of it lasted, and why it ended. */
interface Outcome {
  readonly error: GateError
  /** Undefined where it never opened. */
  readonly lastedMs?: number
}

/**
 * Keeps one WebSocket open to a ticketgate server: with a fresh ticket for every attempt, until `close()` or a refusal
 * that no further attempt can heal.
 * @throws TypeError for options that can not work
 */
export function connect<Data = unknown>(options: ConnectOptions): Connection<Data> {
  const { url, getToken, channel = '', channelOnly = false, timeoutMs = 10_000 } = options
  const { minDelayMs = 500, maxDelayMs = 30_000 } = options
  if (!isChannelName(channel)) throw new TypeError('channel: this is no channel name')
  const base = baseOf(url)
  const WebSocket = given('WebSocket', options.WebSocket ?? platform.WebSocket)
  const fetch = given('fetch', options.fetch ?? platform.fetch)
  const socketUrl = base.replace(/^http/, 'ws') + routes.channel + channel
  const office = createTicketOffice({ fetch, base, channel: channelOnly ? channel : undefined, timeoutMs })

  const emitter = createEmitter<Events<Data>>()
  const feeds = new Set<Feed<Message<Data>>>()
  const subscribed = new Set<string>()
  let hearsOwn = true
  let state: State = 'connecting'
  let link: Link | undefined
  let closed: GateError | undefined
  let isOffline = false
  let endPause = (): void => {}

  function enter(next: State): void {
    if (state === next) return
    state = next
    emitter.emit('state', next)
  }

  /** @throws GateError */
  async function takeTicket(fresh: boolean): Promise<string> {
    let token: string
    try {
      token = await getToken({ fresh })
    } catch (error) {
      if (error instanceof GateError) throw error
      throw new GateError('token_unavailable', `getToken failed: ${String(error)}`, 'time')
    }
    return office.mint(token)
  }

  /** @throws GateError that says why, as far as a page can learn it */
  async function openWith(ticket: string): Promise<Link> {
    try {
      return await openLink({ WebSocket, url: socketUrl, ticket, timeoutMs, onMessage })
    } catch (error) {
      const state = isGateError(error, 'handshake_failed') ? await office.stateOf(ticket) : undefined
      if (state === undefined || state === 'live') throw error
      throw new GateError(`ticket_${state}`, `The server did not take the ticket: it is ${state}.`, 'time')
    }
  }

  async function attempt(fresh: boolean): Promise<Outcome> {
    let opened: Link
    try {
      const ticket = await takeTicket(fresh)
      if (closed !== undefined) return { error: closed }
      opened = await openWith(ticket)
    } catch (error) {
      // A WebSocket that can not even be made: in a page of https to a server of http, for one.
      return { error: isGateError(error) ? error : new GateError('socket_unavailable', String(error)) }
    }
    const openedAt = Date.now()
    link = opened
    if (closed !== undefined) opened.close()
    else greet(opened)
    const stopRenewing = keepRenewed(opened, {
      takeTicket: () => takeTicket(true),
      onRenewed: expires => emitter.emit('renewed', { expires }),
    })
    const error = await opened.ended
    stopRenewing()
    link = undefined
    return { error, lastedMs: Date.now() - openedAt }
  }

  function greet(opened: Link): void {
    if (!hearsOwn) opened.request({ type: 'unsubscribe', channel }).catch(() => {})
    for (const name of subscribed)
      opened.request({ type: 'subscribe', channel: name }).catch((error: GateError) => {
        if (error.remedy === 'nothing' && subscribed.delete(name))
          emitter.emit('lost', { channel: name, error })
      })
    enter('open')
    emitter.emit('open', opened.welcome)
  }

  function onMessage(message: Message): void {
    const typed = message as Message<Data>
    emitter.emit('message', typed)
    for (const feed of feeds) feed.push(typed)
  }

  async function live(): Promise<void> {
    let failures = 0
    let fresh = false
    while (closed === undefined) {
      enter('connecting')
      const { error, lastedMs } = await attempt(fresh)
      if (closed !== undefined) return
      const asksForToken = error.remedy === 'token'
      if (error.remedy === 'nothing' || (asksForToken && fresh && lastedMs === undefined))
        return finish(error)
      if (lastedMs !== undefined && lastedMs >= steadyMs) failures = 0
      const isAtOnce = asksForToken && (lastedMs === undefined || failures === 0)
      const delayMs = isAtOnce ? 0 : delayAfter(error, failures)
      failures++
      fresh = asksForToken
      enter('waiting')
      emitter.emit('retry', { error, failures, delayMs })
      await pause(delayMs, error.retryAfterMs === undefined)
    }
  }

  /** The server's own wait, where it set one, and then ours: others were told the same. */
  function delayAfter({ retryAfterMs = 0 }: GateError, failures: number): number {
    const delayMs = backoffMs(failures, { minDelayMs, maxDelayMs })
    // Browsers are wrong about the network at times, so being offline slows attempts down, and does not stop them.
    return Math.min(retryAfterMs, longestAskedMs) + (isOffline ? maxDelayMs : delayMs)
  }

  function pause(delayMs: number, mayHurry: boolean): Promise<void> {
    return new Promise(resolve => {
      if (closed !== undefined) return resolve()
      const cancel = later(delayMs, resolve)
      endPause = () => {
        if (!mayHurry && closed === undefined) return
        cancel()
        resolve()
      }
    })
  }

  const onOffline = (): void => {
    isOffline = true
  }

  /** The network is back: no reason to wait on. An open socket may be dead without knowing, so it is asked. */
  const onOnline = (): void => {
    isOffline = false
    link?.request({ type: 'ping' }).catch(() => {})
    endPause()
  }

  function finish(error: GateError): void {
    closed = error
    platform.removeEventListener?.('offline', onOffline)
    platform.removeEventListener?.('online', onOnline)
    endPause()
    for (const feed of feeds) feed.end(error.code === 'closed' ? undefined : error)
    feeds.clear()
    enter('closed')
    emitter.emit('close', error)
  }

  /** @throws GateError when there will be none any more */
  function openedLink(): Promise<Link> {
    return new Promise((resolve, reject) => {
      const look = (): boolean => {
        if (closed !== undefined) reject(closed)
        else if (link !== undefined && state === 'open') resolve(link)
        else return false
        return true
      }
      if (look()) return
      const off = emitter.on('state', () => {
        if (look()) off()
      })
    })
  }

  function messages(limit = defaultReaderLimit): AsyncIterableIterator<Message<Data>> {
    const feed: Feed<Message<Data>> = createFeed(limit, () => feeds.delete(feed))
    if (closed === undefined) feeds.add(feed)
    else feed.end(closed.code === 'closed' ? undefined : closed)
    return feed.reader
  }

  platform.addEventListener?.('offline', onOffline)
  platform.addEventListener?.('online', onOnline)
  // A turn later, so that listeners which are added at once miss nothing.
  const lived = Promise.resolve().then(live)

  return {
    get state() {
      return state
    },
    on: emitter.on,
    messages,
    [Symbol.asyncIterator]: () => messages(),
    async opened() {
      await openedLink()
    },
    async publish(data, to) {
      if (link === undefined || state !== 'open')
        throw new GateError('not_open', 'There is no open connection.', 'time')
      await link.request({ type: 'publish', data, ...(to === undefined ? {} : { channel: to }) })
    },
    async subscribe(name) {
      for (;;) {
        const opened = await openedLink()
        try {
          await opened.request({ type: 'subscribe', channel: name })
          break
        } catch (error) {
          if (!isGateError(error, 'connection_lost')) throw error
        }
      }
      if (name === channel) hearsOwn = true
      else subscribed.add(name)
    },
    async unsubscribe(name) {
      if (name === channel) hearsOwn = false
      subscribed.delete(name)
      await link?.request({ type: 'unsubscribe', channel: name })
    },
    async close() {
      if (closed === undefined) finish(new GateError('closed', 'close() was called.'))
      link?.close()
      await settledWithin(goodbyeMs, lived)
    },
  }
}

const isGateError = (error: unknown, code?: string): error is GateError =>
  error instanceof GateError && (code === undefined || error.code === code)

/** Waits for a promise, but not forever: what it waits for may be the application's own `getToken`. */
function settledWithin(ms: number, promise: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = later(ms, resolve)
    promise.finally(cancel).then(resolve, reject)
  })
}
