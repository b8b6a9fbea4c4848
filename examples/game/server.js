import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createGate } from 'ticketgate'

const page = readFileSync(new URL('index.html', import.meta.url))
const rows = ['012', '345', '678', '036', '147', '258', '048', '246'].map(row => [...row].map(Number))

/** The games by their channel. Only the server changes them. */
const games = new Map()

const newGame = () => ({ board: Array(9).fill(''), turn: 'X', players: {} })

const winnerOf = board =>
  rows.map(([a, b, c]) => (board[a] === board[b] && board[b] === board[c] ? board[a] : '')).find(Boolean)

const stateOf = ({ board, turn }) => ({ board, turn, winner: winnerOf(board) ?? null })

const gate = await createGate({
  // Called before the ticket is spent, so it must change nothing: the handshake may still fail.
  authorize: ({ channel }) => (/^game\.\d{1,6}$/.test(channel) ? { mark: '' } : false),

  onConnect(connection) {
    const game = games.get(connection.channel) ?? newGame()
    games.set(connection.channel, game)
    const mark = ['X', 'O'].find(mark => game.players[mark] === undefined) ?? ''
    if (mark !== '') game.players[mark] = connection
    connection.data.mark = mark
    connection.send({ you: mark, ...stateOf(game) })
  },

  onMessage(connection, { data }) {
    const game = games.get(connection.channel)
    const cell = data?.cell
    const isLegal =
      connection.data.mark === game.turn && game.board[cell] === '' && winnerOf(game.board) === undefined
    if (!isLegal) return connection.send({ refused: cell })
    game.board[cell] = game.turn
    game.turn = game.turn === 'X' ? 'O' : 'X'
    gate.publish(connection.channel, stateOf(game))
  },

  onClose(connection) {
    const game = games.get(connection.channel)
    if (game?.players[connection.data.mark] === connection) delete game.players[connection.data.mark]
    if (Object.keys(game?.players ?? {}).length === 0) games.delete(connection.channel)
  },
})
const { url } = await gate.listen()

/** The page, and tickets for guests: a real application would look at its session here. */
const server = createServer(async (request, response) => {
  const [, number] = /^\/ticket\/(\d{1,6})$/.exec(request.url) ?? []
  if (request.method === 'POST' && number !== undefined) {
    const user = `guest-${randomBytes(4).toString('hex')}`
    const { ticket } = await gate.issueTicket({ user, sessionSeconds: 3600, channel: `game.${number}` })
    const socket = `${url.replace('http', 'ws')}/channel/game.${number}?ticket=${ticket}`
    response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    return response.end(JSON.stringify({ socket }))
  }
  if (request.url !== '/') return response.writeHead(404).end()
  response.writeHead(200, { 'content-type': 'text/html' }).end(page)
})
server.listen(Number(process.env.PAGE_PORT ?? 3000), '127.0.0.1', () =>
  console.log(`http://127.0.0.1:${server.address().port}`),
)
process.once('SIGTERM', () => {
  server.close()
  gate.drain()
})
