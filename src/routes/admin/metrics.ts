import { routes } from '../../protocol.js'
import type { Metrics } from '../../telemetry/prometheus.js'
import type { AdminRoute } from './admin-route.js'

/** `GET /metrics`: the metrics, for Prometheus. */
export const metricsRoute = (metrics: Metrics): AdminRoute => ({
  path: routes.metrics,
  methods: ['GET', 'HEAD'],
  handler: async () => ({ contentType: metrics.contentType, body: await metrics.render() }),
})
