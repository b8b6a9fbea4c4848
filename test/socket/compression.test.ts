import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { constants, createInflateRaw, deflateRawSync, type InflateRaw } from 'node:zlib'
import t from 'tap'
import WebSocket, { type PerMessageDeflateOptions } from 'ws'
import { acceptedExtensions } from '../../src/socket/compression.js'
import { goCache } from '../support/go-cache.js'
import { needs, pathOf } from '../support/programs.js'
import { RawConnection, upgradeText } from '../support/raw.js'
import { startServer, type TestServer } from '../support/server.js'
import { Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const run = promisify(execFile)
const modes = ['shared', 'dedicated'] as const
type Mode = (typeof modes)[number]

/**
 * Offers, each with the modes that accept it (RFC 7692 section 7.1). In other modes, messages are not
 * compressed.
 */
const offers: readonly (readonly [offer: string, ...modes: readonly Mode[]])[] = [
  ['permessage-deflate', 'shared', 'dedicated'],
  ['permessage-deflate; client_max_window_bits', 'shared', 'dedicated'],
  ['permessage-deflate; client_max_window_bits=8', 'shared', 'dedicated'],
  ['permessage-deflate; client_max_window_bits=15', 'shared', 'dedicated'],
  ['permessage-deflate; client_no_context_takeover', 'shared', 'dedicated'],
  ['permessage-deflate; server_no_context_takeover', 'shared'],
  ['permessage-deflate; server_no_context_takeover; client_no_context_takeover', 'shared'],
  ['permessage-deflate; server_max_window_bits=8'],
  ...[9, 10, 11, 12, 13, 14, 15].map(
    bits => [`permessage-deflate; server_max_window_bits=${bits}`, 'dedicated'] as const,
  ),
  ['permessage-deflate; server_max_window_bits=12; client_max_window_bits=12', 'dedicated'],
  ['permessage-deflate;server_max_window_bits="10"', 'dedicated'],
  ['permessage-deflate ; client_max_window_bits ,', 'shared', 'dedicated'],
  // The first offer that can be honoured counts, whatever its position.
  ['permessage-deflate; server_max_window_bits=8, permessage-deflate', 'shared', 'dedicated'],
  [
    'permessage-deflate; server_max_window_bits=10, permessage-deflate; server_no_context_takeover',
    'shared',
    'dedicated',
  ],
  ['x-other; a=1, permessage-deflate', 'shared', 'dedicated'],
  ['permessage-deflate; server_no_context_takeover, x-other', 'shared'],
  // Malformed offers are declined.
  ['permessage-deflate; server_max_window_bits'],
  ['permessage-deflate; server_max_window_bits=7'],
  ['permessage-deflate; server_max_window_bits=16'],
  ['permessage-deflate; server_max_window_bits=09'],
  ['permessage-deflate; server_max_window_bits=+9'],
  ['permessage-deflate; client_max_window_bits=7'],
  ['permessage-deflate; client_max_window_bits=16'],
  ['permessage-deflate; client_max_window_bits; client_max_window_bits'],
  ['permessage-deflate; client_no_context_takeover=1'],
  ['permessage-deflate; server_no_context_takeover=true'],
  ['permessage-deflate; unknown'],
  ['permessage-deflate; client_max_window_bits="1 0"'],
  ['permessage-deflate;'],
  ['permessage-deflate; =1'],
  ['permessage deflate'],
  ['permessage-deflate, "'],
  ['x-webkit-deflate-frame'],
  ['deflate-permessage'],
  // uWS itself does not distinguish words with the same letters.
  ['permessage-delfate'],
]

t.test('an offer is accepted if it can be honoured', async t => {
  for (const [offer, ...accepted] of offers)
    for (const mode of modes)
      t.equal(
        acceptedExtensions(offer, mode),
        accepted.includes(mode) ? 'permessage-deflate' : '',
        `${mode}: ${offer}`,
      )
  t.equal(acceptedExtensions('permessage-deflate', 'off'), '')
})

/** Starts a server that compresses publications in this mode. */
const start = async (t: Parameters<typeof startServer>[0], mode: Mode): Promise<TestServer> =>
  startServer(t, { env: { TICKETGATE_COMPRESSION: mode, TICKETGATE_TICKET_RATE: 'off' } })

interface Frame {
  readonly isCompressed: boolean
  readonly payload: Buffer
}

/** The complete server frames in these bytes. */
function framesIn(bytes: Buffer): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at + 2 <= bytes.length; ) {
    const short = (bytes[at + 1] ?? 0) & 127
    const size = short < 126 ? short : bytes.readUInt16BE(at + 2)
    const from = at + (short < 126 ? 2 : 4)
    if (from + size > bytes.length) break
    frames.push({ isCompressed: ((bytes[at] ?? 0) & 0x40) !== 0, payload: bytes.subarray(from, from + size) })
    at = from + size
  }
  return frames
}

/** Decompresses successive messages with a window of exactly the agreed size. */
class Inflater {
  readonly #windowBits: number
  readonly #keepsContext: boolean
  #stream: InflateRaw | undefined

  constructor(response: string) {
    this.#windowBits = Number(/server_max_window_bits=(\d+)/.exec(response)?.[1] ?? 15)
    this.#keepsContext = !response.includes('server_no_context_takeover')
  }

  async text(payload: Buffer): Promise<string> {
    if (!this.#keepsContext || this.#stream === undefined)
      this.#stream = createInflateRaw({ windowBits: this.#windowBits })
    const stream = this.#stream
    const chunks: Buffer[] = []
    const collect = (chunk: Buffer): void => void chunks.push(chunk)
    stream.on('data', collect)
    await new Promise<void>((resolve, reject) => {
      stream.once('error', reject)
      stream.write(Buffer.concat([payload, Buffer.from([0, 0, 0xff, 0xff])]))
      stream.flush(constants.Z_SYNC_FLUSH, resolve)
    })
    stream.off('data', collect)
    return Buffer.concat(chunks).toString()
  }
}

/** Builds a masked frame with a compressed message. */
const compressed = (message: string, windowBits: number): Buffer => {
  const packed = deflateRawSync(message, { windowBits, finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4)
  return Buffer.concat([Buffer.from([0xc1, 0x80 | packed.length, 0, 0, 0, 0]), packed])
}

for (const mode of modes)
  t.test(`an accepted offer is honoured, mode ${mode}`, async t => {
    const server = await start(t, mode)
    const publisher = (await openSession(socketUrl(server.url, gatePath(await mint(server.url), 'x')))).client
    for (const [offer, ...accepted] of offers) {
      const connection = await RawConnection.connect(server.url)
      const headers = { 'sec-websocket-extensions': offer }
      connection.write(upgradeText(gatePath(await mint(server.url), 'x'), headers))
      const response = await connection.response()
      t.equal(response?.status, 101, offer)
      const answer = response?.headers['sec-websocket-extensions'] ?? ''
      t.equal(answer !== '', accepted.includes(mode), `${offer}: ${answer}`)
      const asked = Number(/server_max_window_bits="?(\d+)/.exec(offer)?.[1] ?? 15)
      const given = Number(/server_max_window_bits=(\d+)/.exec(answer)?.[1] ?? 15)
      if (answer !== '' && !offer.includes(',')) {
        t.ok(given <= asked, 'the window is no larger than requested')
        if (offer.includes('server_no')) t.match(answer, 'server_no_context_takeover')
        if (offer.includes('server_max')) t.match(answer, 'server_max_window_bits')
      }
      // Distant repeats use the window; repeats in the next message use the context.
      const inflater = new Inflater(answer)
      const texts = ['one', 'two', 'three'].map(word => `${word} ${'abcdefghij'.repeat(400)} ${word}`)
      for (const text of texts) publisher.send({ type: 'publish', data: text })
      const arrived = (): Frame[] => framesIn(Buffer.from(connection.rest, 'latin1')).slice(1)
      while (arrived().length < texts.length)
        await new Promise(resolve => connection.socket.once('data', resolve))
      for (const [index, { isCompressed, payload }] of arrived().entries()) {
        t.equal(isCompressed, answer !== '')
        const message = isCompressed ? await inflater.text(payload) : payload.toString()
        t.equal((JSON.parse(message) as { data: string }).data, texts[index])
      }
      if (answer !== '') {
        connection.write(compressed('{"type":"publish","data":"compressed by the client"}', 15))
        t.equal((await publisher.next()).data, 'compressed by the client')
      }
      connection.destroy()
    }
    await publisher.close()
  })

t.test('ws works with every offer that it can make', async t => {
  const settings: readonly PerMessageDeflateOptions[] = [
    {},
    { serverNoContextTakeover: true },
    { clientNoContextTakeover: true },
    { serverNoContextTakeover: true, clientNoContextTakeover: true },
    ...[8, 9, 12, 15].map(serverMaxWindowBits => ({ serverMaxWindowBits })),
    ...[9, 15].map(clientMaxWindowBits => ({ clientMaxWindowBits })),
    { serverMaxWindowBits: 10, clientMaxWindowBits: 10, threshold: 0 },
  ]
  for (const mode of modes) {
    const server = await start(t, mode)
    for (const setting of settings) {
      const join = async (): Promise<Client> => {
        const url = socketUrl(server.url, gatePath(await mint(server.url), 'x'))
        const client = new Client(new WebSocket(url, { perMessageDeflate: { threshold: 0, ...setting } }))
        t.match(await client.next(), { type: 'welcome' }, `${mode}: ${JSON.stringify(setting)}`)
        return client
      }
      const [one, two] = [await join(), await join()]
      for (const word of ['a', 'b', 'c']) {
        const data = `${word} ${'0123456789'.repeat(500)}`
        one.send({ type: 'publish', data })
        t.strictSame((await two.next()).data, data)
      }
      await Promise.all([one.close(), two.close()])
    }
  }
})

t.test('Python’s websockets works with every offer that it can make', needs('python3'), async t => {
  const script = fileURLToPath(new URL('compression-client.py', import.meta.url))
  for (const mode of modes) {
    const server = await start(t, mode)
    const url = socketUrl(server.url, '/channel/x')
    const tickets = await Promise.all(Array.from({ length: 24 }, () => mint(server.url)))
    const { stdout } = await run(pathOf('python3'), [script, url, ...tickets])
    const lines = stdout.trim().split('\n')
    t.ok(lines.length > 8)
    for (const line of lines) t.match(line, /^ok /, `${mode}: ${line}`)
  }
})

t.test('Go’s gorilla/websocket works with its offer', needs('go-gorilla'), async t => {
  const directory = mkdtempSync(join(tmpdir(), 'ticketgate-gorilla-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const program = join(directory, 'client')
  const source = fileURLToPath(new URL('compression-client.go', import.meta.url))
  await run(pathOf('go-gorilla'), ['build', '-o', program, source], {
    env: {
      ...process.env,
      GO111MODULE: 'off',
      GOPATH: '/usr/share/gocode',
      GOFLAGS: '',
      GOCACHE: goCache,
    },
  })
  for (const mode of modes) {
    const server = await start(t, mode)
    const url = socketUrl(server.url, '/channel/x')
    const { stdout } = await run(program, [url, await mint(server.url), await mint(server.url)])
    t.equal(stdout.trim(), mode === 'shared' ? 'ok compressed' : 'ok plain', mode)
  }
})
