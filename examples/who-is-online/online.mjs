// Keeps a table of who is online, and prints it whenever it changes.
import { setTimeout as delay } from 'node:timers/promises'

const { ADMIN = 'http://127.0.0.1:8081', TICKETGATE_ADMIN_KEY: key = '' } = process.env
const authorization = `Bearer ${key}`
const users = new Map() // by the id of their socket
let lastId

async function get(path, headers = {}, signal) {
  const reply = await fetch(ADMIN + path, { headers: { authorization, ...headers }, signal })
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`)
  return reply
}

/** Something was missed: reads the state of now. */
async function reload() {
  users.clear()
  for (let query = '?limit=1000'; query; ) {
    const { connections, next } = await (await get(`/connections${query}`)).json()
    for (const { id, user } of connections) if (user) users.set(id, user)
    query = next && `?limit=1000&after=${next}`
  }
}

async function take({ id, event, data }) {
  const { socket, user } = JSON.parse(data)
  if (event === 'reset') await reload()
  if (event === 'opened') users.set(socket, user)
  if (event === 'closed') users.delete(socket)
  lastId = id
  if (/^(reset|opened|closed)$/.test(event)) console.log([...new Set(users.values())].sort().join(' '))
}

async function follow() {
  const silence = new AbortController() // the gate says something every 5 seconds
  const timer = setTimeout(() => silence.abort(), 15_000)
  const { body } = await get('/events', lastId && { 'last-event-id': lastId }, silence.signal)
  let text = ''
  for await (const piece of body.pipeThrough(new TextDecoderStream())) {
    timer.refresh()
    const frames = (text + piece).split('\n\n')
    text = frames.pop()
    for (const frame of frames)
      if (frame !== ':') await take(Object.fromEntries(frame.split('\n').map(line => line.split(/: (.*)/s))))
  }
}

for (;;) {
  await follow().catch(error => console.error(String(error)))
  await delay(500)
}
