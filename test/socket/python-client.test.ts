import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { bearer, postJson } from '../support/http.js'
import { fileNeeds, pathOf } from '../support/programs.js'
import { adminKey, startServer } from '../support/server.js'
import { socketUrl } from '../support/socket-client.js'
import { mintWith, tokenFor } from '../support/tokens.js'

fileNeeds(t, 'python3')

const script = fileURLToPath(new URL('python-client.py', import.meta.url))
const channels = { publish: ['lobby'], subscribe: ['*'] }

for (const protocol of ['ticketgate.v1.json', 'ticketgate.v1.msgpack'])
  t.test(`a Python client can use ${protocol}`, async t => {
    // The tickets are in Python's arguments, and Python may be slow to start.
    const server = await startServer(t, { env: { TICKETGATE_TICKET_TTL_SECONDS: '600' } })
    const ticket = async (user: string): Promise<string> =>
      (await mintWith(server.url, tokenFor(user, { channels }))).ticket
    const url = socketUrl(server.url, '/channel/lobby')
    const args = [script, url, protocol, await ticket('one'), await ticket('two'), await ticket('one')]
    const child = spawn(pathOf('python3'), args, { stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => child.kill('SIGKILL'))
    const steps: [string, unknown][] = []
    const isBinary = protocol.endsWith('msgpack')
    for await (const line of createInterface({ input: child.stdout })) {
      steps.push(JSON.parse(line) as [string, unknown])
      // The last step before the client waits for the end of its session.
      if (steps.at(-1)?.[0] === 'again')
        await postJson(server.admin, '/disconnect', { user: 'one' }, { headers: bearer(adminKey) })
    }
    t.strictSame(steps, [
      ['protocols', [protocol, protocol]],
      ['welcomes', ['welcome', 'welcome']],
      ['published', { type: 'ok', id: 'p' }],
      ['heard', [true, 'one', 'lobby']],
      ['subscribed', { type: 'ok', id: 1 }],
      ['forbidden', 'channel_forbidden'],
      ['unknown', 'unknown_type'],
      ['pong', { type: 'pong', id: 4.5 }],
      ...(isBinary
        ? [
            ['bytes', true],
            ['extension', 'bad_message'],
          ]
        : []),
      ['renewed', 'renewed'],
      ['again', 'ticket_used'],
      ['closed', [4403, 'revoked']],
    ])
  })
