import { App } from 'uWebSockets.js'
import type { Config } from '../config/schema.js'
import { unixPathOf } from '../config/unix-path.js'
import { Refusal } from '../errors.js'
import { createTrustedProxies } from '../http/address.js'
import { maxAdminBodyBytes } from '../http/body.js'
import { ClientView } from '../http/client-view.js'
import { ForwardingWarnings } from '../http/forwarding-warnings.js'
import { type Listener, listen } from '../http/listener.js'
import { Server } from '../http/server.js'
import { urlOf } from '../http/url.js'
import { type AdminParts, adminRoutes } from '../routes/admin/routes.js'
import { healthRoute } from '../routes/health.js'
import type { Log } from '../telemetry/log.js'
import {
  createCounters,
  idleSnapshot,
  type MetricsSources,
  type RefusalCounts,
  type Snapshot,
  sumSnapshots,
} from '../telemetry/metrics.js'
import { createMetrics } from '../telemetry/prometheus.js'
import { AdminKeys } from './admin-keys.js'
import type { Engine } from './engine.js'

export type AdminListenerParts = MetricsSources &
  Pick<AdminParts, 'control' | 'tickets' | 'events'> & {
    readonly engine: Pick<Engine, 'connections' | 'channels'>
  }

/** The admin listener: on its own port, without CORS or proxies, and with a key. */
export class AdminListener {
  readonly #config: Config
  readonly #log: Log
  readonly #app = App()
  readonly #refused: RefusalCounts = {}
  readonly #parts: AdminListenerParts
  readonly #keys: AdminKeys
  #listener: Listener | undefined

  constructor(config: Config, log: Log, parts: AdminListenerParts) {
    this.#config = config
    this.#log = log
    this.#parts = parts
    this.#keys = new AdminKeys(config, log)
    const server = new Server(this.#app, {
      origins: { allows: () => false },
      clients: new ClientView({
        proxies: createTrustedProxies([]),
        publicUrl: undefined,
        tls: false,
        isUnix: unixPathOf(config.adminHost) !== undefined,
        warnings: new ForwardingWarnings(log),
      }),
      maxBodyBytes: maxAdminBodyBytes,
      refused: this.#refused,
      log,
      explains: !config.production,
    })
    // Requires no key. It uses reserved descriptors if the public listener has none left.
    server.route(healthRoute)
    for (const route of adminRoutes({
      keys: this.#keys,
      control: parts.control,
      tickets: parts.tickets,
      events: parts.events,
      metrics: createMetrics({ ...parts, snapshot: () => this.#snapshot() }),
      sockets: {
        count: async () => (await parts.snapshot()).connections,
        connections: query => parts.engine.connections(query),
        channels: query => parts.engine.channels(query),
      },
    }))
      server.route(route)
    this.#app.any(
      '/*',
      server.handler(exchange => server.refuse(exchange, new Refusal('not_found'))),
    )
  }

  /**
   * @returns its URL
   * @throws StartupError `port_unavailable`
   */
  async listen(): Promise<string> {
    const { adminHost: host, adminPort: port } = this.#config
    this.#listener = await listen(this.#app, {
      host,
      port,
      sharing: 'exclusive',
      variable: 'TICKETGATE_ADMIN_PORT',
      log: this.#log,
    })
    return urlOf('http', host, this.#listener.port)
  }

  close(): void {
    this.#keys.close()
    this.#listener?.close()
    this.#app.close()
  }

  /** What the gate has counted, including what this listener refused, published and issued. */
  async #snapshot(): Promise<Snapshot> {
    const own = {
      ...createCounters(),
      requestsRefused: this.#refused,
      messagesPublished: this.#parts.control.published,
      ticketsIssued: this.#parts.tickets.issued,
    }
    return sumSnapshots([await this.#parts.snapshot(), idleSnapshot(own)])
  }
}
