import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { bearer, jsonOf, metric, postJson, request } from './http.js'
import type { RedisServer } from './redis.js'
import { adminKey, type Environment, startServer, type TestServer } from './server.js'
import { type Client, openSession, socketUrl } from './socket-client.js'
import { gatePath, mint } from './tokens.js'

export const untilBus = async ({ url }: TestServer, state: 'up' | 'down'): Promise<void> => {
  for (;;) {
    const reply = await request(url, '/readyz')
    if (jsonOf(reply).bus === state && reply.status === 200) return
    await delay(20)
  }
}

export const startBusNode = async (t: Test, port: number, env: Environment = {}): Promise<TestServer> => {
  const node = await startServer(t, {
    env: { TICKETGATE_REDIS_URL: `redis://127.0.0.1:${port}`, TICKETGATE_TOKEN_TTL_SECONDS: '600', ...env },
  })
  await untilBus(node, 'up')
  return node
}

export const join = async (node: TestServer, user: string, channel = 'red'): Promise<Client> =>
  (await openSession(socketUrl(node.url, gatePath(await mint(node.url, user), channel)))).client

export const say = (client: Client, data: unknown) => client.ask({ type: 'publish', data, id: 1 })

/** Everything that a client receives before the final message, `'end'`. */
export const heardUntilEnd = async (client: Client): Promise<unknown[]> => {
  const heard: unknown[] = []
  for (;;) {
    const { data } = await client.nextWith({ type: 'message' })
    if (data === 'end') return heard
    heard.push(data)
  }
}

export const publish = async (node: TestServer, data: unknown, channel = 'red') =>
  jsonOf(await postJson(node.admin, '/publish', { channel, data }, { headers: bearer(adminKey) }))

export const disconnect = (node: TestServer, subject: object) =>
  postJson(node.admin, '/disconnect', subject, { headers: bearer(adminKey) })

export const busMetric = (node: TestServer, name: string): Promise<number> =>
  metric(node, `ticketgate_bus_${name}`)

export const until = async (holds: () => Promise<boolean>): Promise<void> => {
  while (!(await holds())) await delay(20)
}

export const startThree = async (t: Test, redis: RedisServer) =>
  [
    await startBusNode(t, redis.port),
    await startBusNode(t, redis.port),
    await startBusNode(t, redis.port, { TICKETGATE_THREADS: '2' }),
  ] as const
