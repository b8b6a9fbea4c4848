import WebSocket from 'ws'
import { connect } from '../../src/client/index.js'
import { tokenFor } from '../support/tokens.js'

/** A process with many clients that use `ticketgate/client`, for the test of a rolling restart. */

export interface ClientsStart {
  readonly url: string
  readonly from: number
  readonly count: number
  readonly channels: number
}

/** What one client has seen so far. */
export interface ClientState {
  readonly channel: string
  readonly isOpen: boolean
  readonly gaveUp: boolean
  /** When it opened, each time, in Unix milliseconds. */
  readonly opened: readonly number[]
  /** The data of all messages. */
  readonly heard: readonly number[]
}

export type ToClients = { readonly start: ClientsStart } | { readonly ask: 'open' | 'states' }
export type FromClients = { readonly open: number } | { readonly states: readonly ClientState[] }

type Mutable<T> = { -readonly [P in keyof T]: T[P] }
interface Recording extends Mutable<Omit<ClientState, 'opened' | 'heard'>> {
  readonly opened: number[]
  readonly heard: number[]
}

const together = 50

const states: Recording[] = []

/** Resolves when it is open for the first time. */
const open = (url: string, user: string, channel: string): Promise<void> =>
  new Promise(resolve => {
    const state: Recording = { channel, isOpen: false, gaveUp: false, opened: [], heard: [] }
    states.push(state)
    const connection = connect({ url, channel, WebSocket, getToken: () => tokenFor(user) })
    connection.on('open', () => {
      state.isOpen = true
      state.opened.push(Date.now())
      resolve()
    })
    connection.on('retry', () => {
      state.isOpen = false
    })
    connection.on('message', ({ data }) => state.heard.push(Number(data)))
    connection.on('close', () => {
      state.isOpen = false
      state.gaveUp = true
    })
  })

const send = (message: FromClients): void => void process.send?.(message)

process.on('message', async (message: ToClients) => {
  if ('ask' in message)
    return send(
      message.ask === 'states' ? { states } : { open: states.filter(({ isOpen }) => isOpen).length },
    )
  const { url, from, count, channels } = message.start
  for (let at = from; at < from + count; at += together)
    await Promise.all(
      Array.from({ length: Math.min(together, from + count - at) }, (_, n) =>
        open(url, `user-${at + n}`, `room-${(at + n) % channels}`),
      ),
    )
  send({ open: states.length })
})
process.once('disconnect', () => process.exit())
