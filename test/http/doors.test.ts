import { App, type TemplatedApp, us_listen_socket_close, us_socket_local_port } from 'uWebSockets.js'
import { once } from 'node:events'
import { Agent } from 'node:http'
import t from 'tap'
import WebSocket from 'ws'
import { Doors } from '../../src/http/doors.js'
import { request } from '../support/http.js'

const lingerMs = 15_000

t.test('new connections use the latest app; an old one stays as long as it is used', async t => {
  const mount =
    (name: string) =>
    (app: TemplatedApp): void => {
      const door = doors.of(app)
      app.get('/name', res => void res.end(name))
      app.ws('/ws', {
        open: ws => {
          ws.subscribe('topic')
          doors.enter(door)
        },
        close: () => doors.leave(door),
      })
    }
  const first = App()
  const doors = new Doors(first)
  mount('first')(first)
  const url = await new Promise<string>(resolve =>
    first.listen('127.0.0.1', 0, 1, socket => {
      if (socket === false) throw new Error('cannot listen')
      t.teardown(() => {
        us_listen_socket_close(socket)
        doors.close()
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

  const agents = [keeper(), keeper()] as const
  t.equal(await nameAt(agents[0]), 'first')
  const old = await enter()
  t.notOk(doors.isSplit)
  doors.replace(App(), mount('second'))
  t.equal(await nameAt(), 'second')
  t.equal(await nameAt(agents[1]), 'second')
  t.equal(await nameAt(agents[0]), 'first', 'an open connection stays with its door')
  t.notOk(doors.isSplit, 'nobody is behind the second')
  const young = await enter()
  t.ok(doors.isSplit)
  t.equal(doors.numSubscribers('topic'), 2)

  doors.replace(App(), mount('third'))
  doors.sweep(performance.now() + lingerMs)
  t.equal(await nameAt(agents[1]), 'second', 'a socket is left behind the second')
  t.equal(await nameAt(), 'third')
  const closed = new Promise(resolve => young.once('close', resolve))
  young.close()
  await closed
  while (doors.isSplit) await nameAt()
  doors.sweep(performance.now())
  t.equal(await nameAt(agents[1]), 'second', 'a request may follow at once')
  const kept = Object.values(agents[1].freeSockets).flatMap(sockets => sockets ?? [])
  doors.sweep(performance.now() + lingerMs)
  await Promise.all(kept.map(socket => once(socket, 'close')))
  t.equal(await nameAt(agents[1]), 'third', 'then its connections are closed, and the client opens another')
  t.equal(await nameAt(agents[0]), 'first', 'the first listens as long as there is any')
  t.equal(doors.numSubscribers('topic'), 1)
  old.close()
})
