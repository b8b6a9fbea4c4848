import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import type { Test } from 'tap'
import { adminKey } from './fixtures.js'
import type { Json } from './http.js'

export interface ServerEvent {
  readonly id: string
  readonly type: string
  readonly data: Json
}

/** A reader of `/events` that queues events, so that tests miss none and need not sleep. */
export class EventStream {
  /** Resolves when the stream has ended, for whatever reason. */
  readonly ended: Promise<void>
  readonly #request: ClientRequest
  readonly #response: IncomingMessage
  readonly #queue: ServerEvent[] = []
  readonly #waiting: ((event: ServerEvent | undefined) => void)[] = []
  #text = ''
  #isOver = false

  private constructor(outgoing: ClientRequest, response: IncomingMessage) {
    this.#request = outgoing
    this.#response = response
    response.setEncoding('utf8').on('data', (text: string) => this.#hear(text))
    this.ended = new Promise(resolve => {
      const end = (): void => {
        this.#isOver = true
        for (const wake of this.#waiting.splice(0)) wake(undefined)
        resolve()
      }
      response.once('end', end).once('error', end).once('close', end)
    })
  }

  /** Opens the event stream of the gate with this admin URL, until the test ends. */
  static async open(t: Test, admin: string, lastEventId?: string): Promise<EventStream> {
    const headers = {
      authorization: `Bearer ${adminKey}`,
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    }
    const outgoing = request(`${admin}/events`, { headers, agent: false })
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve).once('error', reject).end()
    })
    outgoing.on('error', () => {})
    if (response.statusCode !== 200 || response.headers['content-type'] !== 'text/event-stream')
      throw new Error(`not an event stream: ${response.statusCode}`)
    const stream = new EventStream(outgoing, response)
    t.teardown(() => stream.close())
    return stream
  }

  /** The next event. Throws if the stream has ended and nothing is left. */
  async next(): Promise<ServerEvent> {
    const event =
      this.#queue.shift() ??
      (this.#isOver
        ? undefined
        : await new Promise<ServerEvent | undefined>(resolve => this.#waiting.push(resolve)))
    if (event === undefined) throw new Error('the stream has ended')
    return event
  }

  /** Expects the next event to have this type and data. */
  async expect(t: Test, type: string, data: Json): Promise<ServerEvent> {
    const event = await this.next()
    t.match(event, { type, data }, type)
    return event
  }

  /** All events up to and including the first of a type. */
  async upTo(type: string): Promise<ServerEvent[]> {
    const events: ServerEvent[] = []
    for (;;) {
      const event = await this.next()
      events.push(event)
      if (event.type === type) return events
    }
  }

  /** Stops reading, so that the gate's data accumulates. */
  pause(): void {
    this.#response.pause()
  }

  resume(): void {
    this.#response.resume()
  }

  close(): void {
    this.#request.destroy()
  }

  #hear(text: string): void {
    const frames = (this.#text + text).split('\n\n')
    this.#text = frames.pop() ?? ''
    for (const frame of frames) {
      if (frame.startsWith(':')) continue
      const [, id, type, data] = /^id: (\S+)\nevent: (\w+)\ndata: ([^\n]*)$/.exec(frame) ?? []
      if (id === undefined || type === undefined || data === undefined)
        throw new Error(`not an event: ${frame}`)
      const event = { id, type, data: JSON.parse(data) as Json }
      const wake = this.#waiting.shift()
      if (wake === undefined) this.#queue.push(event)
      else wake(event)
    }
  }
}
