import { App } from 'uWebSockets.js'
import type { Config } from '../config/schema.js'
import { Refusal } from '../errors.js'
import { createTrustedProxies } from '../http/address.js'
import { maxAdminBodyBytes } from '../http/body.js'
import { createClientView } from '../http/client-view.js'
import { type Listener, listen, urlOf } from '../http/listener.js'
import { createServer } from '../http/server.js'
import { adminRoutes } from '../routes/admin.js'
import type { Operator } from '../socket/control.js'
import type { Log } from '../telemetry/log.js'
import {
  createCounters,
  createMetrics,
  type MetricsSources,
  type RefusalCounts,
  sumSnapshots,
} from '../telemetry/metrics.js'

/** The admin listener: another port, no CORS, no proxies, a key. */
export interface Admin {
  /** @throws StartupError `port_unavailable` */
  listen(): Promise<string>
  close(): void
}

export function createAdmin(
  config: Config,
  log: Log,
  sources: MetricsSources & { readonly operator: Operator },
): Admin {
  const app = App()
  const refused: RefusalCounts = {}
  const snapshot = async () =>
    sumSnapshots([
      await sources.snapshot(),
      { counters: { ...createCounters(), requestsRefused: refused }, connections: 0, loginsPending: 0 },
    ])
  const server = createServer(app, {
    origins: { allows: () => false },
    clients: createClientView({ proxies: createTrustedProxies([]), publicUrl: undefined, tls: false }),
    maxBodyBytes: maxAdminBodyBytes,
    refused,
    log,
  })
  for (const route of adminRoutes({
    key: config.adminKey,
    operator: sources.operator,
    metrics: createMetrics({ ...sources, snapshot }),
    connections: async () => ({ connections: (await sources.snapshot()).connections }),
  }))
    server.route(route)
  app.any(
    '/*',
    server.guarded((res, req) => server.refuse(res, req, new Refusal('not_found'))),
  )
  let listener: Listener | undefined
  return {
    async listen() {
      const { adminHost: host, adminPort: port } = config
      listener = await listen(app, {
        host,
        port,
        sharing: 'exclusive',
        variable: 'TICKETGATE_ADMIN_PORT',
        log,
      })
      return urlOf('http', host, listener.port)
    },
    close() {
      listener?.close()
      app.close()
    },
  }
}
