import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type Child, startChild } from './child.js'

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** Starts a Redis for one target. Its CPU time counts as the target's. */
export const startStore = async (stage: { readonly directory: string }): Promise<Child> => {
  const port = String(await freePort())
  const own = mkdtempSync(join(stage.directory, 'redis-'))
  return startChild(
    ['redis-server', '--port', port, '--save', '', '--bind', '127.0.0.1', '--dir', own],
    {},
    join(own, 'log'),
    log => (log.includes('Ready to accept connections') ? { url: `redis://127.0.0.1:${port}` } : undefined),
  ).catch((error: Error) => {
    throw new Error(`no redis-server (apt-get install redis-server): ${error.message}`)
  })
}
