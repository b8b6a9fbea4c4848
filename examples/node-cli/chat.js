import { createInterface } from 'node:readline'
import { connect, GateError } from 'ticketgate/client'
import WebSocket from 'ws'

const { GATE = 'http://127.0.0.1:8080', GATE_USER = 'maggie', GATE_PASSWORD = '' } = process.env
const [channel = 'lobby'] = process.argv.slice(2)

/** The token that was used last, until it is refused or ends soon. */
let token

async function getToken({ fresh }) {
  if (token !== undefined && !fresh) return token
  const reply = await fetch(`${GATE}/auth`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user: GATE_USER, pwd: GATE_PASSWORD }),
  })
  // A GateError ends the connection; any other error is tried again.
  if (reply.status === 401) throw new GateError('bad_credentials', 'Check GATE_USER and GATE_PASSWORD.')
  if (!reply.ok) throw new Error(`/auth: ${reply.status}`)
  token = (await reply.json()).token
  return token
}

const gate = connect({ url: GATE, channel, getToken, WebSocket })
gate.on('open', ({ user }) => console.log(`* ${user} in ${channel}`))
gate.on('message', ({ user = 'server', data }) => console.log(`${user}: ${data}`))
gate.on('retry', ({ error, delayMs }) => console.error(`* ${error.code}, again in ${delayMs} ms`))
gate.on('close', error => {
  if (error.code === 'closed') return
  console.error(`* closed for good: ${error.message}`)
  process.exit(1)
})

await gate.opened().catch(() => process.exit(1))
for await (const line of createInterface({ input: process.stdin }))
  await gate.publish(line).catch(error => console.error(`* not sent: ${error.code}`))
await gate.close()
