import { execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { fileNeeds, pathOf } from '../support/programs.js'
import { startServer, temporaryDirectory } from '../support/server.js'

fileNeeds(t, 'python3', 'systemd-analyze', 'systemd-notify')

const unit = fileURLToPath(new URL('../../deploy/systemd/ticketgate.service', import.meta.url))

const listener = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
while True:
  message = s.recv(4096).decode().strip()
  # systemd-notify sends this to wait until its message has been received.
  if message != 'BARRIER=1': print(message, flush=True)
`

/** Listens at `socket` like a service manager. Returns a function that reads the next message. */
async function listenAsManager(t: Test, socket: string): Promise<() => Promise<string>> {
  const child = spawn(pathOf('python3'), ['-c', listener, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill())
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (): Promise<string> => String((await lines.next()).value)
  t.equal(await next(), 'bound')
  return next
}

t.test('the service manager is notified when it is ready, alive and stopping', async t => {
  const socket = join(temporaryDirectory(t), 'notify')
  const next = await listenAsManager(t, socket)
  const server = await startServer(t, { env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '200000' } })
  // Each message is sent by its own process, so one may overtake another.
  let isReady = false
  for (let alive = 0; !isReady || alive < 2; ) {
    const message = await next()
    if (message.includes('READY=1')) isReady = true
    else t.equal(message, 'WATCHDOG=1', `alive ${++alive}`)
  }
  const stopped = server.stop()
  for (let heard = ''; !heard.includes('STOPPING=1'); heard = await next())
    t.match(heard, /^$|WATCHDOG=1/, 'only keep-alive messages come before it')
  await stopped
})

t.test('the unit is valid and sandboxed', async t => {
  t.doesNotThrow(() =>
    execFileSync('systemd-analyze', ['security', '--offline=true', '--threshold=20', unit]),
  )
  t.throws(() => execFileSync('systemd-analyze', ['security', '--offline=true', '--threshold=5', unit]))
})
