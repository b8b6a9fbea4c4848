import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { bearer, type Json, jsonOf, outcomeOf, type Reply, request, requestUpgrade } from './http.js'
import { type Environment, startServer, type TestServer } from './server.js'
import { attempt, Client, socketUrl } from './socket-client.js'
import { gatePath, tokenFor } from './tokens.js'

/** One key that all gates of a test share. */
export const ticketKeys = '7:EvN1lSB-Ipj4w4Q08Or94l_eCvSeZ-_Z-vtFEk6x_uI'

/** The settings of a gate that shares a store with others. */
export const storeEnv = (port: number, env: Environment = {}): Environment => ({
  TICKETGATE_REPLAY: 'redis',
  TICKETGATE_REDIS_URL: `redis://127.0.0.1:${port}`,
  TICKETGATE_TICKET_KEYS: ticketKeys,
  ...env,
})

/** Starts a gate with the store at this port, and waits until it is ready. */
export const startNode = async (t: Test, port: number, env: Environment = {}): Promise<TestServer> => {
  const node = await startServer(t, { env: storeEnv(port, env) })
  await untilReady(node)
  return node
}

const untilStatus = async (base: string, status: number): Promise<void> => {
  while ((await request(base, '/readyz')).status !== status) await delay(20)
}

/**
 * Waits until a server has fetched keys this many times; each thread fetches those of each
 * provider. On a busy machine the first fetch can time out, and the server tries again.
 */
export const keysFetched = (server: TestServer, times = 1): Promise<unknown> =>
  server.logged('fetched the keys of the identity provider', times)

export const untilReady = ({ url }: Pick<TestServer, 'url'>): Promise<void> => untilStatus(url, 200)
export const untilNotReady = ({ url }: Pick<TestServer, 'url'>): Promise<void> => untilStatus(url, 503)

/**
 * Opens a socket and returns its ticket, which is now spent. On a busy machine the store may take
 * longer than a gate waits: then the ticket may or may not be spent, and the next one is tried.
 * @param issuer the gate that issues it
 */
export const spendTicket = async (node: TestServer, issuer = node): Promise<string> => {
  for (;;) {
    const issued = await request(issuer.url, '/ws_ticket', { headers: bearer(tokenFor('maggie')) })
    const ticket = String(jsonOf(issued).ticket)
    const reply = issued.status === 200 ? await requestUpgrade(node.url, gatePath(ticket)) : issued
    if (reply.status === 101) return ticket
    if (reply.status !== 503) throw new Error(`refused: ${outcomeOf(reply)}`)
    await delay(20)
  }
}

/**
 * Opens a socket and reads its welcome, with a fresh ticket for each attempt: on a busy machine, the
 * gate may be unable for a while to tell whether a ticket is spent.
 */
export const openFresh = async (
  base: string,
  fresh: () => Promise<string>,
  channel = '',
): Promise<{ readonly ticket: string; readonly client: Client; readonly welcome: Json }> => {
  for (;;) {
    const ticket = await fresh()
    const client = await attempt(socketUrl(base, gatePath(ticket, channel)))
    if (client instanceof Client) return { ticket, client, welcome: await client.next() }
    if (client.status !== 503) throw new Error(`refused: ${outcomeOf(client)}`)
    await delay(20)
  }
}

/**
 * Requests upgrades until the gate can tell whether the ticket is spent. On a busy machine a store,
 * or the disk with the clock mark that outside tickets need, can be too slow for a while; a ticket
 * that is refused because of the mark is not spent.
 */
export const requestUpgradeUntilAnswered = async (base: string, path: string): Promise<Reply> => {
  for (;;) {
    const reply = await requestUpgrade(base, path)
    if (reply.status !== 503) return reply
    await delay(20)
  }
}
