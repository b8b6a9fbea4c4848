import { type ExecFileException, execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { clock, toSeconds } from '../../src/clock.js'
import { ticketKey } from '../../src/ticket/key-ring.js'
import { type VerifiedTicket, verifyTicket } from '../../src/ticket/verifier.js'
import type { Reply } from '../support/http.js'
import { openFresh, requestUpgradeUntilAnswered, startNode } from '../support/nodes.js'
import { isProblem } from '../support/problem.js'
import { fileNeeds, needs, pathOf } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { startServer } from '../support/server.js'
import { gatePath } from '../support/tokens.js'

fileNeeds(t, 'go', 'python3')

const keyId = 7
const key = Buffer.alloc(32, 'interop')
const sessionEndsAtSeconds = toSeconds(clock()) + 600
const longName = 'ö'.repeat(100)

const fileOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** The output of a command. */
const run = (command: string, args: readonly string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    execFile(command, args, (error: ExecFileException | null, stdout, stderr) => {
      if (error === null) resolve(stdout.trim())
      else reject(new Error(`${command} failed: ${stderr}`))
    })
  })

const flagsOf = (flags: Readonly<Record<string, string | number>>): string[] =>
  Object.entries({
    'key-id': keyId,
    key: key.toString('base64url'),
    'session-end': sessionEndsAtSeconds,
    ...flags,
  }).flatMap(([name, value]) => [`--${name}`, String(value)])

/** The result of presenting a ticket to a gate called `node`. */
const verify = (text: string, node: string): VerifiedTicket | string =>
  verifyTicket(text, new Map([[keyId, ticketKey(keyId, key, node)]]), clock(), {
    node,
    skewMs: 5000,
    earliestOutsideMs: 0,
    outsideUntilMs: Number.POSITIVE_INFINITY,
  })

const directory = mkdtempSync(join(tmpdir(), 'ticketgate-mint-'))
t.teardown(() => rmSync(directory, { recursive: true }))
const goMint = join(directory, 'mint')
await run(pathOf('go'), ['build', '-o', goMint, fileOf('mint.go')])

const minters = [
  ['Python', (flags: string[]) => run(pathOf('python3'), [fileOf('mint.py'), ...flags])],
  ['Go', (flags: string[]) => run(goMint, flags)],
] as const

for (const [language, mint] of minters)
  t.test(`a ticket minted in ${language} is valid`, async t => {
    const cases = [
      ['only the required claims', { user: 'maggie' }, {}],
      ['a node', { user: 'maggie', node: 'gate-1' }, {}],
      ['a channel', { user: 'maggie', node: 'gate-1', channel: 'lobby' }, { channel: 'lobby' }],
      ['the channel with the empty name', { user: 'maggie', channel: '' }, { channel: '' }],
      ['a carried claim', { user: 'maggie', claim: 'org=Zoë=李' }, { carried: { org: 'Zoë=李' } }],
      ['a long name beyond ASCII', { user: longName }, {}],
      ['the longest life', { user: 'maggie', ttl: 3600 }, {}],
    ] as const
    for (const [name, flags, claims] of cases) {
      const verified = verify(await mint(flagsOf(flags)), 'node' in flags ? flags.node : '')
      if (typeof verified === 'string') t.fail(`${name}: ${verified}`)
      else t.same(verified.claims, { user: flags.user, sessionEndsAtSeconds, ...claims }, name)
    }
    const bound = await mint(flagsOf({ user: 'maggie', node: 'gate-1' }))
    t.equal(verify(bound, 'gate-2'), 'wrong_node', 'another gate reports the wrong node')
    t.equal(verify(bound.replace('gate-1', 'gate-2'), 'gate-2'), 'ticket_invalid', 'the MAC covers the node')
    const again = await mint(flagsOf({ user: 'maggie', node: 'gate-1' }))
    const nonces = [bound, again]
      .map(text => verify(text, 'gate-1'))
      .map(v => typeof v !== 'string' && v.nonce)
    t.not(nonces[0], nonces[1], 'each ticket has its own nonce')
  })

t.test('a running gate accepts the tickets, once', async t => {
  const server = await startServer(t, {
    env: {
      TICKETGATE_NODE: 'gate-1',
      TICKETGATE_TICKET_KEYS: `${keyId}:${key.toString('base64url')}`,
      TICKETGATE_CLOCK_SKEW_SECONDS: '1',
    },
  })
  const codeOf = (reply: Reply): unknown => reply.status !== 101 && JSON.parse(reply.text).code
  for (const [language, mint] of minters) {
    const fresh = (): Promise<string> => mint(flagsOf({ user: language, node: 'gate-1', channel: 'lobby' }))
    // For a second after its start, the gate refuses such tickets: they could have been issued before it.
    while (
      codeOf(await requestUpgradeUntilAnswered(server.url, gatePath(await fresh(), 'lobby'))) ===
      'ticket_predates_gate'
    );
    const { ticket, client, welcome } = await openFresh(server.url, fresh, 'lobby')
    t.match(welcome, { user: language, channel: 'lobby', expires: sessionEndsAtSeconds })
    isProblem(
      t,
      await requestUpgradeUntilAnswered(server.url, gatePath(ticket, 'lobby')),
      '401 ticket_used',
      `${language}, again`,
    )
    isProblem(
      t,
      await requestUpgradeUntilAnswered(server.url, gatePath(await fresh(), 'red')),
      '403 channel_forbidden',
    )
    const foreign = await mint(flagsOf({ user: language, node: 'gate-2' }))
    isProblem(t, await requestUpgradeUntilAnswered(server.url, gatePath(foreign)), '421 wrong_node')
    await client.close()
  }
})

const needed = needs('redis-server')
t.test('gates that share a store accept tickets with its epoch, once at one of them', needed, async t => {
  const redis = await startRedis(t)
  const env = { TICKETGATE_TICKET_KEYS: `${keyId}:${key.toString('base64url')}` }
  const nodes = [await startNode(t, redis.port, env), await startNode(t, redis.port, env)] as const
  const epoch = await redis.client.getrange('ticketgate:epoch', 0, 31)
  for (const [language, mint] of minters) {
    const fresh = (): Promise<string> => mint(flagsOf({ user: language, channel: 'lobby', epoch }))
    const { ticket, client, welcome } = await openFresh(nodes[1].url, fresh, 'lobby')
    t.match(welcome, { user: language, channel: 'lobby', expires: sessionEndsAtSeconds })
    for (const { url } of nodes)
      isProblem(
        t,
        await requestUpgradeUntilAnswered(url, gatePath(ticket, 'lobby')),
        '401 ticket_used',
        language,
      )
    const without = await mint(flagsOf({ user: language }))
    isProblem(
      t,
      await requestUpgradeUntilAnswered(nodes[0].url, gatePath(without)),
      '401 ticket_invalid',
      `${language}, without an epoch`,
    )
    const former = await mint(flagsOf({ user: language, epoch: '0'.repeat(32) }))
    isProblem(
      t,
      await requestUpgradeUntilAnswered(nodes[0].url, gatePath(former)),
      '401 ticket_predates_gate',
      `${language}, with a former epoch`,
    )
    await client.close()
  }
})
