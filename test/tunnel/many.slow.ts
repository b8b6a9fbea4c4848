import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import WebSocket, { WebSocketServer } from 'ws'
import { openGate } from '../support/gate.js'

const count = 10_000
const width = 50
// A leaked tunnel would take several kilobytes.
const maxHeapBytesEach = 400

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const http = createServer()
const upstream = new WebSocketServer({ noServer: true, perMessageDeflate: false })
http.on('upgrade', (request, socket, head) => {
  if (request.url === '/refused') return void socket.end('HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n')
  if (request.url === '/reset') return void socket.destroy()
  upstream.handleUpgrade(request, socket, head, each => {
    each.on('error', () => {})
    each.on('message', data => {
      const order = String(data)
      if (order === 'close') each.close(4000, 'as requested')
      else if (order === 'terminate') each.terminate()
      else each.send(data)
    })
  })
})
await once(http.listen(0, '127.0.0.1'), 'listening')
const { port } = http.address() as AddressInfo

const gate = await openGate(t, { tunnels: [{ path: '/a/*', url: `ws://127.0.0.1:${port}` }] })
const { url } = await gate.listen()
t.teardown(() => http.close())

/** The ways in which a tunnel can end, each with what its client does once it is open. */
const ends: readonly (readonly [name: string, act: (socket: WebSocket) => void])[] = [
  ['closed', socket => socket.close(4001, 'enough')],
  ['terminated', socket => socket.terminate()],
  ['closed-upstream', socket => socket.send('close')],
  ['terminated-upstream', socket => socket.send('terminate')],
  ['refused', () => {}],
  ['reset', () => {}],
  [
    'talks',
    socket => {
      socket.once('message', () => socket.close())
      socket.send('x'.repeat(1000))
    },
  ],
  [
    'half',
    socket => {
      socket.send('half of it', { fin: false })
      socket.terminate()
    },
  ],
]

async function openAndEnd(n: number): Promise<void> {
  const [name, act] = ends[n % ends.length] ?? ['', () => {}]
  const { ticket } = await gate.issueTicket({ user: `user-${n % 100}`, sessionSeconds: 600 })
  const socket = new WebSocket(`${url.replace('http', 'ws')}/a/${name}?ticket=${ticket}`, {
    perMessageDeflate: false,
  })
  socket.on('error', () => {})
  socket.on('open', () => act(socket))
  await once(socket, 'close')
}

async function run(total: number): Promise<void> {
  let left = total
  const worker = async (): Promise<void> => {
    while (left > 0) await openAndEnd(left--)
  }
  await Promise.all(Array.from({ length: width }, worker))
}

/** What is open in this process, which runs the gate, its clients and the upstream server. */
const inUse = () => ({
  descriptors: readdirSync('/proc/self/fd').length,
  resources: process.getActiveResourcesInfo().length,
  sockets: upstream.clients.size,
})

/** Waits until usage is back to what it was before. */
async function settled(before: ReturnType<typeof inUse>): Promise<void> {
  for (;;) {
    const now = inUse()
    if (now.descriptors <= before.descriptors && now.resources <= before.resources && now.sockets === 0)
      return
    await delay(50)
  }
}

const heapBytes = (): number => {
  collect()
  collect()
  return process.memoryUsage().heapUsed + process.memoryUsage().external
}

t.test(`${count} closed tunnels leak no sockets, timers or memory`, async t => {
  const idle = inUse()
  await run(1000)
  await settled(idle)
  const before = heapBytes()
  await run(count)
  await settled(idle)
  const grown = heapBytes() - before
  t.ok(
    grown < count * maxHeapBytesEach,
    `the heap grows by ${Math.round(grown / count)} bytes per tunnel, under ${maxHeapBytesEach}`,
  )
  t.comment(`${grown} bytes`)
})
