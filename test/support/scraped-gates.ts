import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { certificate, certificateKey } from './certificate.js'
import { temporaryDirectory } from './fixtures.js'
import { freePort } from './free-port.js'
import { bearer, metric, postJson, request } from './http.js'
import { storeEnv } from './nodes.js'
import { startProgram, startRedis } from './redis.js'
import { adminKey, startServer, type TestServer } from './server.js'
import { attempt, Client, socketUrl } from './socket-client.js'
import { gatePath, mint, nowSeconds, tokenFor } from './tokens.js'
import { startUpstream } from './upstream.js'

/** Two gates with all components under load, and a Prometheus that scrapes them. */

/** A panel of the dashboard. */
export interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly fieldConfig?: {
    readonly defaults: {
      readonly unit: string
      readonly custom: { readonly stacking: { readonly mode: string } }
    }
  }
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

export const dashboardPanels = (): readonly Panel[] =>
  JSON.parse(readFileSync(new URL('../../deploy/grafana/dashboard.json', import.meta.url), 'utf8')).panels

/** A line of a panel: its name in the legend, and pairs of Unix seconds and value. */
export interface Series {
  readonly name: string
  readonly points: readonly (readonly [number, number])[]
}

const scrapeSeconds = 1

/** Starts gates with Redis, TLS, tunnels and an identity provider that is down. */
async function startGates(t: Test): Promise<TestServer[]> {
  const redis = await startRedis(t)
  const upstream = await startUpstream(t)
  const directory = temporaryDirectory(t)
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text, { mode: 0o600 })
    return join(directory, name)
  }
  const dead = await freePort()
  const env = {
    TICKETGATE_TUNNELS: `/docs=ws://127.0.0.1:${upstream.port};channel=docs,/gone=ws://127.0.0.1:${dead};channel=gone`,
    TICKETGATE_TLS_CERT_FILE: file('cert', certificate),
    TICKETGATE_TLS_KEY_FILE: file('key', certificateKey),
    TICKETGATE_ISSUERS_FILE: file(
      'issuers',
      JSON.stringify([
        {
          issuer: 'https://id.example.com',
          jwksUrl: `http://127.0.0.1:${dead}/keys`,
          audiences: ['https://chat.example.com'],
          backchannelLogout: true,
        },
      ]),
    ),
    TICKETGATE_LOGIN: 'on',
    TICKETGATE_LOGIN_RATE: '100/60',
    TICKETGATE_TICKET_RATE: '10000/60',
  }
  const users = { maggie: 'secret' }
  const start = async (): Promise<TestServer> => {
    const gate = await startServer(t, { env: storeEnv(redis.port, env), users })
    // /readyz never says ready, because the keys of the identity provider are missing.
    while ((await metric(gate, 'ticketgate_replay_store_state{state="ready"}')) !== 1) await delay(50)
    return gate
  }
  return Promise.all([start(), start()])
}

/** One round of load: clients come and go, and most of what they do succeeds. */
async function oneRound({ url, admin }: TestServer, round: number, open: Client[]): Promise<void> {
  const user = `user-${round % 50}`
  const enter = async (path: string): Promise<void> => {
    const entered = await attempt(socketUrl(url, path))
    if (entered instanceof Client) open.push(entered)
  }
  const ticket = await mint(url, user)
  await enter(gatePath(ticket, 'news'))
  open.at(-1)?.send({ type: 'publish', data: round })
  if (round % 3 === 0) await enter(`/docs?ticket=${await mint(url, user)}`)
  if (round % 7 === 0) await enter(gatePath(ticket, 'news'))
  if (round % 11 === 0) await enter(gatePath('forged'))
  if (round % 13 === 0) await enter(`/gone?ticket=${await mint(url, user)}`)
  if (round % 5 === 0)
    await request(url, '/ws_ticket', { headers: bearer(tokenFor(user, { exp: nowSeconds() - 100 })) })
  if (round % 9 === 0) await request(url, '/nowhere')
  if (round % 4 === 0) await postJson(url, '/auth', { user: 'maggie', pwd: 'secret' })
  if (round % 8 === 0) await postJson(url, '/auth', { user: 'maggie', pwd: 'wrong' }, { from: '127.0.0.7' })
  if (round % 6 === 0)
    await postJson(admin, '/publish', { channel: 'news', data: round }, { headers: bearer(adminKey) })
  // So that the number of sockets goes up and down.
  const most = 60 + Math.round(40 * Math.sin(round / 40))
  while (open.length > most) await open.shift()?.close()
}

export interface ScrapedGates {
  /** Puts the gates under load, for a time in seconds. */
  load(seconds: number): Promise<void>
  /** The lines of a panel, over the latest seconds. */
  seriesOf(panel: Panel, seconds: number): Promise<Series[]>
}

export async function startScrapedGates(t: Test): Promise<ScrapedGates> {
  const gates = await startGates(t)
  const directory = temporaryDirectory(t)
  const port = await freePort()
  const config = join(directory, 'prometheus.yml')
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: `${scrapeSeconds}s` },
      scrape_configs: [
        {
          job_name: 'ticketgate',
          authorization: { credentials: adminKey },
          static_configs: gates.map(({ admin }, n) => ({
            targets: [new URL(admin).host],
            labels: { instance: `gate-${n + 1}` },
          })),
        },
      ],
    }),
  )
  const prometheus = await startProgram(t, 'prometheus', [
    `--config.file=${config}`,
    `--storage.tsdb.path=${directory}/data`,
    `--web.listen-address=127.0.0.1:${port}`,
  ])
  await prometheus.until(() => prometheus.listensOn(port))
  const base = `http://127.0.0.1:${port}`
  while ((await request(base, '/-/ready')).status !== 200) await delay(50)
  return {
    async load(seconds) {
      const endMs = performance.now() + seconds * 1000
      const run = async (gate: TestServer): Promise<void> => {
        const open: Client[] = []
        // A round may fail because Redis is slow on a busy machine; that is load as well.
        for (let round = 0; performance.now() < endMs; round++)
          await oneRound(gate, round, open).catch(() => delay(100))
        for (const client of open) await client.close()
      }
      await Promise.all([...gates, ...gates].map(run))
    },
    seriesOf: async ({ targets = [] }, seconds) =>
      (
        await Promise.all(targets.map(target => query(base, target.expr, target.legendFormat, seconds)))
      ).flat(),
  }
}

async function query(base: string, expr: string, legend: string, seconds: number): Promise<Series[]> {
  // Grafana would fill in a name, a pattern, and an interval of at least four scrapes.
  const filled = expr
    .replaceAll('$__rate_interval', `${Math.max(8, seconds / 12)}s`)
    .replaceAll('$job', 'ticketgate')
    .replaceAll('$instance', '.*')
  const end = Date.now() / 1000
  const parameters = new URLSearchParams({
    query: filled,
    start: String(end - seconds),
    end: String(end),
    step: String(Math.max(1, seconds / 120)),
  })
  const { status, text } = await request(base, `/api/v1/query_range?${parameters}`)
  if (status !== 200) throw new Error(`${filled}: ${text}`)
  const { result } = JSON.parse(text).data as {
    readonly result: readonly {
      readonly metric: Readonly<Record<string, string>>
      readonly values: readonly (readonly [number, string])[]
    }[]
  }
  return result.map(({ metric, values }) => ({
    name: legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? ''),
    points: values.map(([at, value]) => [at, Number(value)] as const),
  }))
}
