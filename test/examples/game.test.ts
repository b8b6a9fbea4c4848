import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import '../support/built.js'
import { type Json, jsonOf, postJson } from '../support/http.js'
import { temporaryDirectory } from '../support/server.js'
import { openSession } from '../support/socket-client.js'

const root = fileURLToPath(new URL('../../', import.meta.url))

const start = async (t: Test): Promise<string> => {
  const child = spawn(process.execPath, ['examples/game/server.js'], {
    cwd: root,
    env: {
      PATH: process.env.PATH,
      PAGE_PORT: '0',
      TICKETGATE_PORT: '0',
      TICKETGATE_ADMIN_PORT: '0',
      TICKETGATE_STATE_DIR: temporaryDirectory(t),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  for await (const line of createInterface(child.stdout)) if (line.startsWith('http')) return line
  throw new Error('the example has ended')
}

t.test('two players and a spectator see the moves that the server accepts', async t => {
  const url = await start(t)
  const join = async () => {
    const { client } = await openSession(String(jsonOf(await postJson(url, '/ticket/7', '')).socket))
    const hear = async () => (await client.next()).data as Json
    const move = (cell: unknown) => client.send({ type: 'publish', data: { cell } })
    return { client, hear, move, mark: (await hear()).you }
  }
  const [x, o, watcher] = [await join(), await join(), await join()]
  t.strictSame([x.mark, o.mark, watcher.mark], ['X', 'O', ''])

  const refused = async (player: typeof x, cell: unknown, why: string): Promise<void> => {
    player.move(cell)
    t.strictSame(await player.hear(), { refused: cell }, why)
  }
  await refused(o, 0, 'not your turn')
  await refused(watcher, 0, 'not your game')
  for (const cell of [9, '__proto__', 'length', null]) await refused(x, cell, 'not a cell')
  const moves = [x, o, x, o, x]
  for (const [index, cell] of [0, 3, 1, 4, 2].entries()) {
    moves[index]?.move(cell)
    for (const { hear } of [x, o, watcher])
      t.match(await hear(), { turn: index % 2 === 0 ? 'O' : 'X', winner: index === 4 ? 'X' : null })
  }
  await refused(o, 5, 'the game is over')

  await Promise.all([x, o, watcher].map(({ client }) => client.close()))
})
