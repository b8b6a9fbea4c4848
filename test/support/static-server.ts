import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import type { Test } from 'tap'

const types: Readonly<Record<string, string>> = { '.html': 'text/html', '.js': 'text/javascript' }

/**
 * Serves the files of a directory on localhost until the test ends; `/` is its index.html. Returns
 * the base URL.
 */
export async function serveDirectory(t: Test, directory: string): Promise<string> {
  const server = createServer(async ({ url = '/' }, response) => {
    const { pathname } = new URL(url, 'http://localhost')
    const name = pathname === '/' ? '/index.html' : pathname
    const content = await readFile(join(directory, name)).catch(() => undefined)
    // Browsers request an icon by themselves.
    if (name === '/favicon.ico') response.writeHead(204).end()
    else if (content === undefined) response.writeHead(404).end()
    else response.writeHead(200, { 'content-type': types[extname(name)] ?? 'text/plain' }).end(content)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  t.teardown(() => server.closeAllConnections())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
