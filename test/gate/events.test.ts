import t, { type Test } from 'tap'
import type { GateEvent } from '../../src/index.js'
import { openGate } from '../support/gate.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const enter = async (url: string, user: string) =>
  (await openSession(socketUrl(url, gatePath(await mint(url, user), 'lobby')))).client

async function receivesEvents(t: Test, threads: number): Promise<void> {
  const gate = await openGate(t, { threads })
  const { url } = await gate.listen()
  const events = gate.events[Symbol.asyncIterator]()
  const next = async (): Promise<GateEvent> => (await events.next()).value as GateEvent
  t.match(await next(), { type: 'reset', reason: 'start' })
  const waiting = next()
  const client = await enter(url, 'maggie')
  const opened = await waiting
  t.match(opened, { type: 'opened', id: /\.1$/, atMs: Number, user: 'maggie', channel: 'lobby' })
  await gate.disconnect({ user: 'maggie', reason: 'enough' })
  t.match(await next(), { type: 'revoked', user: 'maggie', reason: 'enough' })
  t.match(await next(), { type: 'closed', user: 'maggie', code: 4403, reason: 'enough' })
  await client.closed

  const heard: string[] = []
  const loop = (async () => {
    for await (const event of gate.events) heard.push(event.type)
  })()
  await enter(url, 'theo')
  t.match(await next(), { type: 'opened', user: 'theo' })
  t.match(await events.return?.(), { done: true })
  t.match(await events.next(), { done: true }, 'an iterator that was ended yields nothing more')
  await gate.drain()
  await loop
  t.strictSame(heard, ['reset', 'opened', 'draining', 'closed'], 'the loop ends with the gate')
}

t.test('an application receives the events of its gate', t => receivesEvents(t, 1))

t.test('an application receives the events of both threads', t => receivesEvents(t, 2))
