import t from 'tap'
import { freePort } from '../support/free-port.js'
import { requestUpgrade } from '../support/http.js'
import { runServe, startServer } from '../support/server.js'
import { gatePath, mint } from '../support/tokens.js'

const two = { TICKETGATE_THREADS: '2' }

t.test('a second process on the same port does not start, whatever the number of threads', async t => {
  for (const [first, second] of [
    ['2', '2'],
    ['2', '1'],
    ['1', '2'],
    ['1', '1'],
  ] as const) {
    const server = await startServer(t, { env: { TICKETGATE_THREADS: first } })
    const { code, stderr } = await runServe(t, {
      TICKETGATE_THREADS: second,
      TICKETGATE_PORT: String(server.port),
    })
    t.equal(code, 1, `${first} and ${second} threads`)
    t.match(
      stderr,
      new RegExp(`port ${server.port} .*TICKETGATE_PORT`),
      'the error names the port and the variable',
    )
    t.equal(
      (await requestUpgrade(server.url, gatePath(await mint(server.url)))).status,
      101,
      'the first process still serves',
    )
    await server.stop()
  }
})

t.test('a second process on the same port does not start, whatever their addresses', async t => {
  for (const [first, second] of [
    ['127.0.0.1', '0.0.0.0'],
    ['0.0.0.0', '127.0.0.1'],
    ['127.0.0.1', '::'],
    ['0.0.0.0', '::'],
    ['::', '127.0.0.1'],
  ] as const) {
    const server = await startServer(t, { env: { TICKETGATE_HOST: first } })
    const { code, stderr } = await runServe(t, {
      TICKETGATE_HOST: second,
      TICKETGATE_PORT: String(server.port),
    })
    t.equal(code, 1, `${first}, then ${second}`)
    t.match(stderr, new RegExp(`port ${server.port} .*TICKETGATE_PORT`))
    await server.stop()
  }
})

t.test('of several processes that start on one port at once, at most one gets it', async t => {
  const port = await freePort()
  const env = { ...two, TICKETGATE_PORT: String(port) }
  const outcomes = await Promise.allSettled(Array.from({ length: 3 }, () => startServer(t, { env })))
  const started = outcomes.filter(outcome => outcome.status === 'fulfilled')
  t.ok(started.length <= 1, `at most one starts, here ${started.length}`)
  for (const outcome of outcomes)
    if (outcome.status === 'rejected')
      t.match(
        String(outcome.reason),
        new RegExp(`port ${port}\\b.*TICKETGATE_PORT`),
        'the others report the port',
      )
  for (const { value } of started) {
    t.equal((await requestUpgrade(value.url, gatePath(await mint(value.url)))).status, 101)
    await value.stop()
  }
  const next = await startServer(t, { env })
  t.equal(
    (await requestUpgrade(next.url, gatePath(await mint(next.url)))).status,
    101,
    'afterwards the port is free again',
  )
})

t.test('two threads cannot start with the replay cache of a single thread', async t => {
  const { code, stderr } = await runServe(t, { ...two, TICKETGATE_REPLAY: 'memory' })
  t.equal(code, 1)
  t.match(stderr, /TICKETGATE_REPLAY: each of 2 threads .* use shared, or one thread/)
})
