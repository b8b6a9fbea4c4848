import { WebSocket } from 'ws'
import { chat } from './chat.js'

test('a message from one connection reaches the other', async () => {
  expect(await chat(process.env.GATE, process.env.TOKEN, { WebSocket })).toBe('maggie said hello')
})
