// Keeps a table of who is online, and prints it after each event.
import { setTimeout as delay } from 'node:timers/promises'

const { ADMIN = 'http://127.0.0.1:8081', TICKETGATE_ADMIN_KEY = '' } = process.env
const headers = { authorization: `Bearer ${TICKETGATE_ADMIN_KEY}` }
const users = new Map() // by the id of their socket

async function get(path, signal = AbortSignal.timeout(15_000)) {
  const reply = await fetch(ADMIN + path, { headers, signal })
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`)
  return reply
}

/** Something was missed: reads the state of now, page by page. */
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
  headers['last-event-id'] = id
  console.log(event, ...[...new Set(users.values())].sort())
}

async function follow() {
  const silence = new AbortController()
  const timer = setTimeout(() => silence.abort(), 15_000) // the gate says something every 5 seconds
  const { body } = await get('/events', silence.signal)
  let text = ''
  for await (const piece of body.pipeThrough(new TextDecoderStream())) {
    const frames = (text + piece).split('\n\n')
    text = frames.pop()
    for (const frame of frames)
      if (frame !== ':') await take(Object.fromEntries(frame.split('\n').map(line => line.split(/: (.*)/))))
    timer.refresh()
  }
}

for (; ; await delay(500)) await follow().catch(error => console.error(String(error)))
