import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

/**
 * A port for a server that is to be started again on it. One that it picked itself (port 0) will not do: uWS then leaves
 * out SO_REUSEADDR, and what is left of the connections of its first life keeps the second from listening.
 */
export async function freePort(): Promise<string> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  await once(probe.close(), 'close')
  return String(port)
}
