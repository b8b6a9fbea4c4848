import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { type Child, startChild } from './child.js'
import { freePort } from './free-port.js'

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
