import { idleSnapshot } from '../../src/telemetry/metrics.js'
import { createMetrics } from '../../src/telemetry/prometheus.js'

/** A scrape of a gate with all components. */
export const everyMetric = (): Promise<string> =>
  createMetrics({
    replay: { size: 0, highWater: 0, capacity: 1 },
    bus: { isUp: true, dropped: 0, lost: 0 },
    store: { state: { is: 'ready' } },
    tls: true,
    hasTunnels: true,
    maxConnections: () => 1000,
    snapshot: async () => idleSnapshot(),
    limiters: () => ({ ticket: { tracked: 0, refusing: 0 } }),
  }).render()
