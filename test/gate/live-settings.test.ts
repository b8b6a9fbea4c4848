import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { bearer, metric, outcomeOf, postJson, request, requestUpgrade } from '../support/http.js'
import { type Environment, runServe, startServer, temporaryDirectory } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, tokenFor } from '../support/tokens.js'

const again = 'settings read again'
const broken = 'the settings file is broken'

/** Many tunnels: the level of each one's log has to change. */
const tunnels = Array.from({ length: 12 }, (_, n) => `/t${n}=ws://127.0.0.1:9;channel=t`).join()

const open = async (t: Test, threads: string, text: string, env: Environment = {}) => {
  const file = join(temporaryDirectory(t), 'settings')
  writeFileSync(file, text)
  const server = await startServer(t, {
    env: {
      TICKETGATE_SETTINGS_FILE: file,
      TICKETGATE_THREADS: threads,
      TICKETGATE_TUNNELS: tunnels,
      ...env,
    },
  })
  // The main thread reads for itself as well.
  const readers = threads === '1' ? 1 : Number(threads) + 1
  const timesLogged = (line: string): number => server.output().split(line).length - 1
  /** Waits until each thread has logged this once more. */
  const told = async (line: string, act: () => void): Promise<void> => {
    const before = timesLogged(line)
    act()
    while (timesLogged(line) < before + readers) await request(server.url, '/healthz')
  }
  const write = (text: string): void => {
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }
  const hangUp = (): void => server.signal('SIGHUP')
  return {
    server,
    file,
    told,
    replace: (text: string) => told(again, () => write(text)),
    breakBy: (act: () => void) => told(broken, act),
    write,
    hangUp,
    logIn: async (from: string) =>
      outcomeOf(await postJson(server.url, '/auth', { user: 'maggie', pwd: 'wrong' }, { from })),
    ticket: async (user: string) =>
      outcomeOf(await request(server.url, '/ws_ticket', { headers: bearer(tokenFor(user)) })).slice(0, 3),
  }
}

for (const threads of ['1', '2'])
  t.test(`rates and the log level change without a restart (threads: ${threads})`, async t => {
    const gate = await open(t, threads, '# at first\nTICKETGATE_LOGIN_RATE=2/3600\n')
    const { server, logIn, ticket } = gate
    const outcomes = async (count: number, of: () => Promise<string>): Promise<string[]> => {
      const found: string[] = []
      for (let n = 0; n < count; n++) found.push(await of())
      return found
    }
    const { client } = await openSession(socketUrl(server.url, gatePath(await mint(server.url, 'lisa'))))
    t.strictSame(await outcomes(3, () => logIn('127.0.0.2')), [
      '401 bad_credentials',
      '401 bad_credentials',
      '429 rate_limited',
    ])
    t.equal(await ticket('bart'), '200', 'the environment sets this rate to off')

    await gate.replace('TICKETGATE_LOGIN_RATE = 3/3600\nTICKETGATE_TICKET_RATE=1/3600\n')
    t.match(
      server.output(),
      /"changed":\{"TICKETGATE_LOGIN_RATE":"3\/3600","TICKETGATE_TICKET_RATE":"1\/3600"\}/,
    )
    t.strictSame(
      (await outcomes(4, () => logIn('127.0.0.2'))).at(-1),
      '429 rate_limited',
      'the new limit allows one more at most',
    )
    t.equal(await logIn('127.0.0.3'), '401 bad_credentials')
    t.strictSame(await outcomes(2, () => ticket('bart')), ['200', '429'])

    await gate.told(again, gate.hangUp)
    t.equal(await ticket('bart'), '429', 'an unchanged rate keeps its counts')

    for (const act of [
      () => gate.write('TICKETGATE_PORT=1\n'),
      () => gate.write(''),
      () => gate.write('TICKETGATE_TICKET_RATE=fast\nTICKETGATE_LOGIN_RATE=off\n'),
      () => rmSync(gate.file),
    ]) {
      await gate.breakBy(act)
      t.equal(await ticket('bart'), '429', 'a broken file changes nothing')
      t.equal(await logIn('127.0.0.2'), '429 rate_limited')
    }

    t.notMatch(server.output(), '"ticket issued"')
    await gate.replace('TICKETGATE_LOG_LEVEL=debug\nTICKETGATE_MESSAGE_RATE=1/3600\n')
    t.equal(await ticket('bart'), '200', 'without a line of its own, a rate is as in the environment')
    while (!server.output().includes('"ticket issued"')) await ticket('bart')
    t.match(await client.ask({ type: 'ping' }), { type: 'pong' }, 'an open socket stays open')
    t.match(await client.ask({ type: 'ping' }), { type: 'pong' })
    client.send({ type: 'ping' })
    t.match(await client.closed, { code: 4429 }, 'an open socket gets the new rate')
    await gate.replace('TICKETGATE_LOG_LEVEL=error\n')
    const written = server.output().split('"ticket issued"').length
    t.equal(await ticket('bart'), '200')
    await gate.told(again, gate.hangUp)
    t.equal(server.output().split('"ticket issued"').length, written, 'lines below the level are not written')
    t.notMatch(server.output(), 'Warning')
  })

for (const threads of ['1', '2'])
  t.test(`caps on sockets change without a restart (threads: ${threads})`, async t => {
    const gate = await open(t, threads, '# at first\n', { TICKETGATE_MAX_CONNECTIONS_PER_USER: '2' })
    const { server, replace } = gate
    const limit = (): Promise<number> => metric(server, 'ticketgate_connections_limit')
    const enter = async (user: string): Promise<void> => {
      await openSession(socketUrl(server.url, gatePath(await mint(server.url, user))))
    }
    const isFull = async (user: string, why: string): Promise<void> => {
      const path = gatePath(await mint(server.url, user))
      for (let n = 0; n < 8; n++)
        t.equal(outcomeOf(await requestUpgrade(server.url, path)), '429 too_many_connections', why)
    }
    const byDefault = await limit()
    await enter('maggie')
    await enter('maggie')
    await isFull('maggie', 'two sockets per user')

    await replace('TICKETGATE_MAX_CONNECTIONS_PER_USER=3\n')
    await enter('maggie')
    await isFull('maggie', 'three sockets per user')

    await replace('TICKETGATE_MAX_CONNECTIONS_PER_USER=0\nTICKETGATE_MAX_CONNECTIONS=4\n')
    t.equal(await limit(), 4)
    await enter('maggie')
    await isFull('lisa', 'four sockets in total')

    await gate.breakBy(() => gate.write('TICKETGATE_MAX_CONNECTIONS_PER_ADDRESS=100\n'))
    t.match(server.output(), /this cap was off at the start: turning it on needs a restart/)
    await isFull('lisa', 'a broken file changes nothing')

    await replace('# as in the environment\n')
    t.equal(await limit(), byDefault)
    await isFull('maggie', 'sockets are counted even while there is no cap')
    await enter('lisa')
  })

t.test('a mistake in the settings file stops the start, and its line is reported', async t => {
  const file = join(temporaryDirectory(t), 'settings')
  const env = { TICKETGATE_SETTINGS_FILE: file }
  t.match(await runServe(t, env), { code: 1, stderr: /TICKETGATE_SETTINGS_FILE: cannot read/ })
  writeFileSync(
    file,
    'TICKETGATE_LOGIN_RATE=10\n\nTICKETGATE_JWT_SECRET=open sesame\nTICKETGATE_TICKET_RATE=\nTICKETGATE_MESSAGE_RATE="1/1"\nTICKETGATE_LOG_LEVEL=info\nTICKETGATE_LOG_LEVEL=info\n',
  )
  const { code, stderr } = await runServe(t, env)
  t.equal(code, 1)
  for (const problem of [
    /settings line 1: TICKETGATE_LOGIN_RATE: "10" is not a rate/,
    /settings line 3: write NAME=value, with one of TICKETGATE_LOGIN_RATE/,
    /settings line 4: TICKETGATE_TICKET_RATE has no value/,
    /settings line 5: TICKETGATE_MESSAGE_RATE: is in quotes/,
    /settings line 7: TICKETGATE_LOG_LEVEL is there twice/,
  ])
    t.match(stderr, problem)
  t.notMatch(stderr, 'sesame')
})
