import { execFileSync } from 'node:child_process'
import t from 'tap'
import { bearer, request } from '../support/http.js'
import { fileNeeds } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { adminKey, startServer } from '../support/server.js'

fileNeeds(t, 'promtool', 'redis-server')

/** The problems that promtool finds, including those of names and units, which a parser ignores. */
const lint = (text: string): string => {
  try {
    return execFileSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8', stdio: 'pipe' })
  } catch (error) {
    return error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error)
  }
}

t.test('promtool finds nothing wrong with the metrics of a gate, alone or with Redis', async t => {
  const redis = await startRedis(t)
  const ticketKeys = '7:EvN1lSB-Ipj4w4Q08Or94l_eCvSeZ-_Z-vtFEk6x_uI'
  for (const [name, env] of [
    ['alone', {}],
    [
      'with Redis',
      {
        TICKETGATE_REPLAY: 'redis',
        TICKETGATE_REDIS_URL: redis.url,
        TICKETGATE_TICKET_KEYS: ticketKeys,
      },
    ],
  ] as const) {
    const server = await startServer(t, { env })
    await request(server.url, '/nowhere')
    const { text } = await request(server.admin, '/metrics', { headers: bearer(adminKey) })
    t.equal(lint(text), '', name)
  }
  t.match(lint('# TYPE x counter\nx 1\n'), /x/, 'promtool does find a wrong name')
})
