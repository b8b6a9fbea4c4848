import { clientRoutes, isChannelName } from '../protocol.js'
import { attempt } from './attempt.js'
import type { Connection, ConnectOptions, Events } from './connection.js'
import { ticketTaker } from './credentials.js'
import { Emitter } from './events.js'
import { GateError } from './gate-error.js'
import type { Message } from './messages.js'
import { platform, requireDefined } from './platform.js'
import { Readers } from './readers.js'
import { Reconnector } from './reconnector.js'
import { RetryPolicy } from './retry.js'
import { baseOf } from './server-url.js'
import { Subscriptions } from './subscriptions.js'
import { TicketApi } from './tickets.js'

/**
 * Keeps one WebSocket open to a ticketgate server: with a fresh ticket for every attempt, until
 * `close()` or a refusal that no further attempt can change.
 * @throws TypeError for options that cannot work
 */
export function connect<Data = unknown>(options: ConnectOptions): Connection<Data> {
  const { channel = '', channelOnly = false, timeoutMs = 10_000 } = options
  const { minDelayMs = 500, maxDelayMs = 30_000 } = options
  if (!isChannelName(channel)) throw new TypeError('channel: must be a channel name')
  const base = baseOf(options.url)
  const url = base.replace(/^http/, 'ws') + clientRoutes.channel + channel
  const WebSocket = requireDefined('WebSocket', options.WebSocket ?? platform.WebSocket)
  const fetch = requireDefined('fetch', options.fetch ?? platform.fetch)
  const api = new TicketApi({ fetch, base, channel: channelOnly ? channel : undefined, timeoutMs })

  const emitter = new Emitter<Events<Data>>()
  const readers = new Readers<Data>()
  const subscriptions = new Subscriptions(channel)
  const onMessage = (message: Message): void => {
    emitter.emit('message', message as Message<Data>)
    readers.push(message as Message<Data>)
  }
  const lose = (name: string, error: GateError): void => emitter.emit('lost', { channel: name, error })
  const reconnector = new Reconnector({
    takeTicket: ticketTaker(options, async token => (await api.issue(token)).ticket),
    open: ticket => attempt({ WebSocket, url, ticket, timeoutMs, onMessage }, api),
    retry: new RetryPolicy({ minDelayMs, maxDelayMs }),
    emitter,
    onLink: link => subscriptions.restore(link, lose),
    onUnsubscribed(name) {
      subscriptions.delete(name)
      lose(name, new GateError('unsubscribed', 'This channel was revoked, or a renewal does not cover it.'))
    },
    onClosed: error => readers.end(error.code === 'closed' ? undefined : error),
  })

  // Without this, `unsubscribe` would not reach a `subscribe` that has no reply yet.
  const wanted = new Set<string>()

  async function subscribe(name: string): Promise<void> {
    wanted.add(name)
    for (;;) {
      const link = await reconnector.opened()
      if (!wanted.has(name)) return
      try {
        await link.request({ type: 'subscribe', channel: name })
        if (wanted.has(name)) subscriptions.add(name)
        return
      } catch (error) {
        if (!(error instanceof GateError && error.code === 'connection_lost')) throw error
      }
    }
  }

  return {
    get state() {
      return reconnector.state
    },
    on: (name, listener) => emitter.on(name, listener),
    messages: limit => readers.add(limit),
    [Symbol.asyncIterator]: () => readers.add(),
    async opened() {
      await reconnector.opened()
    },
    async publish(data, to) {
      const { link } = reconnector
      if (link === undefined || reconnector.state !== 'open')
        throw new GateError('not_open', 'There is no open connection.', 'time')
      await link.request({ type: 'publish', data, ...(to === undefined ? {} : { channel: to }) })
    },
    subscribe,
    async unsubscribe(name) {
      wanted.delete(name)
      subscriptions.delete(name)
      await reconnector.link?.request({ type: 'unsubscribe', channel: name })
    },
    close: () => reconnector.close(),
  }
}
