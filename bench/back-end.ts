/**
 * What the back end's side costs: events, a disconnect over two nodes, and a consumer that comes
 * back. Each figure is measured by itself: `npx tsx bench/back-end.ts events disconnect online`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { buildOpener, expectAnswers, startOpener, withOpener } from './drivers/opener.js'
import { measure } from './figures/cpu.js'
import { spread } from './figures/summary.js'
import { digits, say } from './figures/text.js'
import { handshakeAll } from './scenarios/handshake.js'
import { fleetsOf } from './targets/fleets.js'
import type { Target } from './targets/target.js'
import { startTicketgate } from './targets/ticketgate.js'
import { createUsers, type Users } from './targets/users.js'

const rounds = 15
const handshakes = 8_000
const perSecond = 20_000
const sockets = 18_000
const directory = mkdtempSync(join(tmpdir(), 'ticketgate-bench-'))
const children = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
})

const start = (command: string, args: readonly string[], env = process.env): ChildProcess => {
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  children.add(child)
  return child
}

const adminOf = ({ host, admin }: Target) => {
  if (admin === undefined) throw new Error('it has no admin listener')
  return { url: `http://${host}:${admin.port}`, port: admin.port, key: admin.key }
}

/** A reader that takes little CPU time of the machine; it reads until the end. */
const read = async (target: Target): Promise<void> => {
  const { url, key } = adminOf(target)
  const reader = start('curl', ['-sN', `${url}/events`, '-H', `authorization: Bearer ${key}`])
  reader.stdout?.once('data', () => reader.stdout?.resume())
  if (reader.stdout) await once(reader.stdout, 'data')
}

/** The cost of a handshake with one reader of the events, and without, side by side. */
const measureEvents = async (users: Users): Promise<void> => {
  for (const threads of ['1', '2']) {
    const sides = await Promise.all(
      ['none', 'none, again', 'one', 'one, again'].map(async readers => {
        const target = await startTicketgate(directory, users, { settings: { TICKETGATE_THREADS: threads } })
        if (readers.startsWith('one')) await read(target)
        return { readers, target, micros: [] as number[] }
      }),
    )
    for (let round = -2; round < rounds; round++)
      for (const { readers, target, micros } of round % 2 === 0 ? sides : sides.toReversed()) {
        const lines = await target.wire.lines(target, handshakes * (round < 0 ? 2 : 1))
        const load = await measure(target.pids, () => handshakeAll(target, lines, '101', 64, perSecond))
        const cost = load.serverCpuNs / 1000 / load.operations
        if (round >= 0) micros.push(cost)
        say(
          `${threads} threads, readers: ${readers}: ${digits(cost)} µs, ${Math.round(load.operations / (load.wallNs / 1e9))}/s`,
        )
      }
    const none = sides[0]?.micros ?? []
    for (const { readers, micros } of sides) {
      const ratio = spread(micros.map((cost, round) => cost / (none[round] ?? 0)))
      console.log(
        `${threads} threads, readers: ${readers}: ${digits(spread(micros).median)} µs a handshake, × ${ratio.median.toFixed(3)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`,
      )
    }
    await Promise.all(sides.map(({ target }) => target.stop()))
  }
}

/** From `POST /disconnect` to the last close, 20,000 sockets of one user over two nodes. */
const measureDisconnect = async (users: Users): Promise<void> => {
  const times: number[] = []
  for (let round = 0; round < 5; round++) {
    const { nodes, stop } = await (fleetsOf(directory, users)[1]?.start(2) ?? Promise.reject(new Error()))
    const openers = await Promise.all(
      nodes.map(async node => {
        const opener = startOpener(node)
        for (let at = 0; at < 5; at++) {
          const lines = await node.wire.lines(node, 2_000)
          expectAnswers(await opener.run(`open 2000 32 0 1`, lines), '101', 2_000)
        }
        return opener
      }),
    )
    const [first] = nodes
    if (first === undefined) throw new Error('there is no node')
    const { url, key } = adminOf(first)
    const gone = openers.map(opener => opener.run('gone'))
    const begin = performance.now()
    const reply = await fetch(`${url}/disconnect`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ user: 'bench' }),
    })
    const text = await reply.text()
    const replied = performance.now() - begin
    await Promise.all(gone)
    times.push(performance.now() - begin)
    say(
      `disconnect: ${digits(times.at(-1) ?? 0)} ms to the last close, reply ${text} after ${digits(replied)} ms`,
    )
    await Promise.all(openers.map(opener => opener.stop()))
    await stop()
  }
  const { median, min, max } = spread(times)
  console.log(
    `POST /disconnect to the last close, 20,000 sockets of one user over two nodes on Redis: ${digits(median)} ms (${digits(min)}–${digits(max)})`,
  )
}

const examples = fileURLToPath(new URL('../examples/who-is-online', import.meta.url))

const consumers = (): readonly (readonly [string, string, ...string[]])[] => {
  const program = join(directory, 'online')
  const { status } = spawnSync('go', ['build', '-o', program, 'online.go'], {
    cwd: examples,
    env: { ...process.env, GO111MODULE: 'off' },
  })
  return [
    ['Node', process.execPath, join(examples, 'online.mjs')],
    ['Python', 'python3', join(examples, 'online.py')],
    ...(status === 0 ? ([['Go', program]] as const) : []),
  ]
}

/** A way to the admin listener that can be cut, and notes when somebody comes. */
const startRelay = async (port: number) => {
  let isCut = false
  let cameAt = 0
  const pairs = new Set<() => void>()
  const server = createServer(client => {
    if (isCut) return void client.destroy()
    if (cameAt === 0) cameAt = performance.now()
    const target = connect(port, '127.0.0.1')
    const close = (): void => void [client.destroy(), target.destroy()]
    pairs.add(close)
    for (const socket of [client, target]) socket.on('error', close).on('close', close)
    client.pipe(target).pipe(client)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as { port: number }).port,
    cameAt: () => cameAt,
    cut: () => {
      isCut = true
      for (const close of pairs) close()
      pairs.clear()
    },
    restore: () => {
      isCut = false
      cameAt = 0
    },
  }
}

/**
 * From the reconnect of a consumer to its right table, with 18,000 sockets: it has missed more
 * events than are kept.
 */
const measureOnline = async (users: Users): Promise<void> => {
  const target = await startTicketgate(directory, users, { settings: { TICKETGATE_EVENT_BUFFER: '100' } })
  await withOpener(target, async opener => {
    for (let at = 0; at < sockets; at += 2_000)
      expectAnswers(
        await opener.run('open 2000 32 0 1', await target.wire.lines(target, 2_000)),
        '101',
        2_000,
      )
    const { port, key } = adminOf(target)
    for (const [language, command, ...args] of consumers()) {
      const relay = await startRelay(port)
      const env = {
        PATH: process.env.PATH,
        ADMIN: `http://127.0.0.1:${relay.port}`,
        TICKETGATE_ADMIN_KEY: key,
      }
      const child = start(command, args, env)
      const lines = createInterface({ input: child.stdout ?? process.stdin })[Symbol.asyncIterator]()
      const reset = async (): Promise<void> => {
        for (;;) {
          const { value, done } = await lines.next()
          if (done) throw new Error(`the consumer in ${language} has ended`)
          if (String(value).startsWith('reset')) return
        }
      }
      await reset()
      const times: number[] = []
      for (let round = 0; round < 5; round++) {
        relay.cut()
        await handshakeAll(target, await target.wire.lines(target, 200), '101')
        await sleep(50) // the events of these are on their way
        relay.restore()
        await reset()
        times.push(performance.now() - relay.cameAt())
      }
      const { median, min, max } = spread(times)
      console.log(
        `who is online in ${language}, ${sockets} sockets: ${digits(median)} ms (${digits(min)}–${digits(max)}) from the reconnect to the right table`,
      )
      child.kill()
      relay.cut()
    }
  })
  await target.stop()
}

const measurements = { events: measureEvents, disconnect: measureDisconnect, online: measureOnline }

const main = async (): Promise<void> => {
  const missing = buildOpener(directory)
  if (missing !== undefined) throw new Error(missing)
  const users = await createUsers()
  const asked = process.argv.slice(2)
  for (const [name, run] of Object.entries(measurements))
    if (asked.length === 0 || asked.includes(name)) await run(users)
  process.exit()
}

await main()
