import { App, type TemplatedApp, us_listen_socket_close, us_socket_local_port } from 'uWebSockets.js'
import { once } from 'node:events'
import { Agent } from 'node:http'
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { PortApps } from '../../src/http/port-apps.js'
import { request } from '../support/http.js'

const lingerMs = 15_000

/** Starts an app that listens, with the means to mount others and to connect to them. */
async function startApps(t: Test) {
  const mount =
    (name: string) =>
    (app: TemplatedApp): void => {
      const portApp = portApps.of(app)
      app.get('/name', res => void res.end(name))
      app.ws('/ws', {
        open: ws => {
          ws.subscribe('topic')
          portApps.enter(portApp)
        },
        close: () => portApps.leave(portApp),
      })
    }
  const first = App()
  const portApps = new PortApps(first)
  mount('first')(first)
  const url = await new Promise<string>(resolve =>
    first.listen('127.0.0.1', 0, 1, socket => {
      if (socket === false) throw new Error('cannot listen')
      t.teardown(() => {
        us_listen_socket_close(socket)
        portApps.close()
      })
      resolve(`http://127.0.0.1:${us_socket_local_port(socket)}`)
    }),
  )
  const nameAt = async (agent?: Agent): Promise<string> =>
    (await request(url, '/name', agent === undefined ? {} : { agent })).text
  const keeper = (): Agent => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => agent.destroy())
    return agent
  }
  const enter = async (): Promise<WebSocket> => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`)
    await new Promise(resolve => socket.once('open', resolve))
    return socket
  }
  return { portApps, mount, nameAt, keeper, enter }
}

t.test('new connections use the latest app; an old app stays while it is in use', async t => {
  const { portApps, mount, nameAt, keeper, enter } = await startApps(t)
  const agents = [keeper(), keeper()] as const
  t.equal(await nameAt(agents[0]), 'first')
  const old = await enter()
  t.notOk(portApps.isSplit)
  portApps.replace(App(), mount('second'))
  t.equal(await nameAt(), 'second')
  t.equal(await nameAt(agents[1]), 'second')
  t.equal(await nameAt(agents[0]), 'first', 'an open connection stays with its app')
  t.notOk(portApps.isSplit, 'the second app has no sockets')
  const young = await enter()
  t.ok(portApps.isSplit)
  t.equal(portApps.numSubscribers('topic'), 2)

  portApps.replace(App(), mount('third'))
  portApps.sweep(performance.now() + lingerMs)
  t.equal(await nameAt(agents[1]), 'second', 'the second app stays, because it has a socket')
  t.equal(await nameAt(), 'third')
  const closed = new Promise(resolve => young.once('close', resolve))
  young.close()
  await closed
  while (portApps.isSplit) await nameAt()
  portApps.sweep(performance.now())
  t.equal(await nameAt(agents[1]), 'second', 'an idle connection is not closed at once')
  const kept = Object.values(agents[1].freeSockets).flatMap(sockets => sockets ?? [])
  portApps.sweep(performance.now() + lingerMs)
  await Promise.all(kept.map(socket => once(socket, 'close')))
  t.equal(
    await nameAt(agents[1]),
    'third',
    'after the linger time it is closed, and the client opens another',
  )
  t.equal(await nameAt(agents[0]), 'first', 'the first app stays, because it listens')
  t.equal(portApps.numSubscribers('topic'), 1)
  old.close()
})
