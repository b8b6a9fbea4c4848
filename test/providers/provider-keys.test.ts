import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import pino from 'pino'
import t, { type Test } from 'tap'
import { clock } from '../../src/clock.js'
import {
  type KeyLocation,
  ProviderKeys,
  type ProviderKeysOptions,
} from '../../src/providers/provider-keys.js'
import { type Answer, jwks, newKey, type Provider, startProvider, text } from '../support/provider.js'

// Keeps the process alive: neither the code under test nor a stopped provider does.
const alive = setInterval(() => {}, 1000)
t.teardown(() => clearInterval(alive))

const first = newKey('EdDSA', 'first')
const second = newKey('EdDSA', 'second')

interface Opened {
  readonly provider: Provider
  readonly keys: ProviderKeys
  readonly counts: { ok?: number; failed?: number }
  readonly logged: readonly string[]
  /** Resolves when `condition` holds. It is checked whenever something is logged. */
  until(condition: () => boolean): Promise<void>
}

const open = async (
  t: Test,
  answer: Answer,
  timing: Pick<ProviderKeysOptions, 'refreshMs' | 'timeoutMs' | 'fresh'> = {},
  locate: (provider: Provider) => KeyLocation = ({ url }) => ({ url }),
): Promise<Opened> => {
  const provider = await startProvider(t, answer)
  const logged: string[] = []
  let wake = (): void => {}
  const log = pino(
    { base: null },
    {
      write(line: string) {
        logged.push(line)
        wake()
      },
    },
  )
  const counts: Opened['counts'] = {}
  const keys = await ProviderKeys.open(locate(provider), {
    name: 'https://id.test',
    log,
    counters: { keyFetches: counts },
    // Long, because this busy process is the provider as well.
    timeoutMs: 60_000,
    ...timing,
  })
  t.teardown(() => keys.close())
  return {
    provider,
    keys,
    counts,
    logged,
    async until(condition) {
      while (!condition())
        await new Promise<void>(resolve => {
          wake = resolve
        })
    },
  }
}

const ownRequests = 10

/**
 * Resolves when a fetch that was due within `ms` would have reached the provider: timers of the
 * same length fire in order, and after them we send several requests of our own, one after another.
 */
const fetchWouldHaveArrived = async (provider: Provider, ms: number): Promise<void> => {
  await delay(1)
  await delay(ms)
  for (let n = 0; n < ownRequests; n++) await (await fetch(provider.url)).text()
}

t.test('keys are available once opened, and refreshed automatically', async t => {
  const { provider, keys, counts, until } = await open(t, jwks(first), { refreshMs: 20 })
  t.ok(keys.current()?.has('first'))
  t.notOk(keys.current()?.has('second'))
  const before = keys.current()
  await provider.nextAsked()
  await provider.nextAsked()
  t.equal(keys.current(), before, 'an unchanged document keeps the same set')
  provider.answer = jwks(second, first)
  await until(() => keys.current()?.has('second') === true)
  t.ok(keys.current()?.has('first'), 'both keys count during a rotation')
  provider.answer = jwks(second)
  await until(() => keys.current()?.has('first') === false)
  t.ok((counts.ok ?? 0) >= 4)
  t.equal(counts.failed, undefined)
})

/** The same response with caching headers. */
const cached =
  (answer: Answer, headers: Readonly<Record<string, string>>): Answer =>
  (response, request) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    answer(response, request)
  }

const never = 3_600_000

t.test('caching headers decide when keys are fetched again, within limits', async t => {
  const soon: [name: string, headers: Record<string, string>, fresh: { leastMs: number; mostMs: number }][] =
    [
      ['after max-age', { 'cache-control': 'public, max-age=1' }, { leastMs: 0, mostMs: never }],
      ['three weeks, which are too long', { 'cache-control': 'max-age=2000000' }, { leastMs: 0, mostMs: 20 }],
      [
        'an absurdly long max-age',
        { 'cache-control': `max-age=${'9'.repeat(400)}` },
        { leastMs: 0, mostMs: 20 },
      ],
      ['an absurdly late Expires', { expires: 'Fri, 31 Dec 9999 23:59:59 GMT' }, { leastMs: 0, mostMs: 20 }],
      ['no-store', { 'cache-control': 'no-store' }, { leastMs: 20, mostMs: never }],
      ['already expired', { expires: '0' }, { leastMs: 20, mostMs: never }],
    ]
  for (const [name, headers, fresh] of soon) {
    const { provider, keys, until } = await open(t, cached(jwks(first), headers), { refreshMs: never, fresh })
    provider.answer = jwks(second)
    await until(() => keys.current()?.has('second') === true)
    t.notOk(keys.current()?.has('first'), `${name}: the withdrawn key no longer counts`)
    keys.close()
  }
  const fresh = { leastMs: never, mostMs: never }
  const { provider } = await open(t, cached(jwks(first), { 'cache-control': 'no-cache' }), {
    refreshMs: 1,
    fresh,
  })
  await fetchWouldHaveArrived(provider, 1)
  t.equal(provider.asked(), 1 + ownRequests, 'keys are not fetched again before the lower limit')
})

t.test('metadata is kept as its headers say, but fetched again if the keys are not found', async t => {
  const asked: string[] = []
  let path = '/a'
  const serve =
    (headers: Readonly<Record<string, string>>): Answer =>
    (response, request) => {
      const url = String(request.url)
      asked.push(url)
      const issuer = `http://${request.headers.host}`
      if (url.endsWith('/openid-configuration'))
        return cached(text(JSON.stringify({ issuer, jwks_uri: issuer + path })), headers)(response, request)
      return (url === path ? jwks(first, second) : text('', 404))(response, request)
    }
  const locate = ({ url }: Provider): KeyLocation => ({ issuer: new URL(url).origin, allowHttp: false })
  const count = (what: string): number => asked.filter(url => url.endsWith(what)).length

  const kept = await open(t, serve({ 'cache-control': 'max-age=600' }), { refreshMs: 10 }, locate)
  await kept.until(() => (kept.counts.ok ?? 0) >= 1)
  while (count('/a') < 4) await kept.provider.nextAsked()
  t.equal(count('/openid-configuration'), 1, 'only the keys are fetched again')
  path = '/b'
  while (count('/b') < 1) await kept.provider.nextAsked()
  t.equal(count('/openid-configuration'), 2, 'metadata is fetched again when the keys have moved')
  kept.keys.close()

  asked.length = 0
  const unkept = await open(t, serve({}), { refreshMs: 10 }, locate)
  while (count('/b') < 4) await unkept.provider.nextAsked()
  t.ok(count('/openid-configuration') >= 4, 'without caching headers, metadata is fetched every time')
  unkept.keys.close()
})

t.test('with an unreliable provider, the latest valid set applies', async t => {
  const { provider, keys, counts, until } = await open(t, jwks(first), { refreshMs: 1 })
  const known = (): readonly string[] => ['first', 'second'].filter(kid => keys.current()?.has(kid))
  const turns: [answer: Answer, kid: string, isBroken: boolean][] = [
    [text('', 500), 'first', true],
    [jwks(second), 'second', false],
    [text('<html>'), 'second', true],
    [text('{"keys":[]}'), 'second', true],
    [jwks(first), 'first', false],
  ]
  for (const [answer, kid, isBroken] of turns) {
    const failed = counts.failed ?? 0
    provider.answer = answer
    await until(() => (isBroken ? (counts.failed ?? 0) > failed : known().join() === kid))
    t.strictSame(known(), [kid])
  }
})

t.test('overlong key ids are not remembered', async t => {
  const { provider, keys } = await open(t, jwks(first))
  t.equal(keys.missing('k'.repeat(257), clock()), undefined)
  await fetchWouldHaveArrived(provider, 1)
  t.equal(provider.asked(), 1 + ownRequests)
  t.type(keys.missing('k'.repeat(256), clock()), 'number')
})

t.test('an unknown kid triggers a fetch at once, and many kids trigger only a few fetches', async t => {
  const startMs = performance.now()
  const { provider, keys, until } = await open(t, jwks(first))
  t.equal(provider.asked(), 1)
  provider.answer = jwks(second)
  keys.missing('second', clock())
  await until(() => keys.current()?.has('second') === true)
  t.equal(provider.asked(), 2)
  for (let round = 0; round < 5; round++) {
    provider.answer = jwks(newKey('EdDSA', `key-${round}`))
    for (let miss = 0; miss < 1000; miss++) keys.missing(`key-${round}`, clock())
    await until(() => keys.current()?.has(`key-${round}`) === true)
  }
  t.equal(provider.asked(), 7, 'each round causes one fetch')
  for (let miss = 0; miss < 1000; miss++) keys.missing(`made up ${miss}`, clock())
  await fetchWouldHaveArrived(provider, 1)
  const more = Math.floor((performance.now() - startMs) / 2000)
  t.ok(provider.asked() <= 7 + ownRequests + more, 'more unknown kids cause at most one fetch in two seconds')
})

t.test('made-up kids do not delay a new key for long', async t => {
  const { provider, keys, until } = await open(t, jwks(first))
  for (let miss = 0; miss < 5000; miss++) {
    keys.missing(`made up ${miss}`, clock())
    if (miss % 500 === 0) await (await fetch(provider.url)).text()
  }
  provider.answer = jwks(first, second)
  const waitMs = keys.missing('second', clock()) ?? Number.NaN
  t.ok(waitMs <= 2000, `the fetch is due within two seconds, here in ${waitMs} ms`)
  await until(() => keys.current()?.has('second') === true)
})

t.test('a kid that was looked up is unknown until the next lookup', async t => {
  const { provider, keys, until } = await open(t, jwks(first))
  const now = clock()
  provider.answer = jwks(first, second)
  t.type(keys.missing('other', now), 'number', 'a new kid may still arrive')
  await until(() => keys.current()?.has('second') === true)
  t.equal(keys.missing('other', now), undefined)
  t.type(keys.missing('another', clock()), 'number', 'another kid may still arrive')
  t.type(keys.missing('other', now + 10_000), 'number', 'the kid is looked up again later')
})

t.test('a kid that is requested during a fetch is looked up in the next fetch', async t => {
  const { provider, keys, until } = await open(t, jwks(first))
  let release = (): void => {}
  const held = new Promise<void>(resolve => {
    provider.answer = response => {
      resolve()
      release = () => jwks(first)(response, undefined as never)
    }
  })
  keys.missing('some', clock())
  await held
  t.type(keys.missing('second', clock()), 'number')
  provider.answer = jwks(first, second)
  release()
  await until(() => keys.current()?.has('second') === true)
})

t.test('ignored and duplicate keys are logged once per set', async t => {
  const { provider, keys, logged } = await open(
    t,
    jwks(first, second, newKey('EdDSA', 'second'), newKey('RS256', 'secret', { use: 'enc' })),
    { refreshMs: 10 },
  )
  await provider.nextAsked()
  await provider.nextAsked()
  t.equal(logged.length, 2)
  t.match(JSON.parse(String(logged[0])), { keys: 3, ignored: ['key "secret": its use is not sig'] })
  t.match(JSON.parse(String(logged[1])), { level: 40, repeated: ['2 keys are named "second"'] })
  keys.close()
})

const broken: readonly (readonly [name: string, answer: Answer, reason: RegExp])[] = [
  ['an error', text('{"keys":[]}', 500), /status 500/],
  ['not found', text('', 404), /status 404/],
  ['no content', text('', 204), /status 204/],
  ['a redirect', text('', 302, { location: 'http://127.0.0.1:1/' }), /redirect/],
  ['a redirect to itself', text('', 307, { location: '/jwks.json' }), /redirect/],
  ['a page', text('<html></html>', 200, { 'content-type': 'text/html' }), /not JSON/],
  ['no keys', text('{"keys":[]}'), /no key that can verify/],
  ['bytes that are not UTF-8', response => void response.end(Buffer.from([0x7b, 0xff, 0x7d])), /utf-8/i],
  ['too large', text(`{"keys":[],"pad":"${'a'.repeat(300_000)}"}`), /more than 262144 bytes/],
  [
    'too large once decompressed',
    response =>
      void response
        .writeHead(200, { 'content-encoding': 'gzip' })
        .end(gzipSync(Buffer.alloc(50_000_000, 'a'))),
    /more than 262144 bytes/,
  ],
  [
    'a stream without end',
    response => {
      const more = (): void => {
        while (!response.destroyed && response.write('a'.repeat(10_000)));
      }
      response.on('drain', more).writeHead(200)
      more()
    },
    /more than 262144 bytes/,
  ],
  ['a closed connection', response => void response.destroy(), /fetch failed/],
  [
    'a body cut short',
    response =>
      void response.writeHead(200, { 'content-length': 100 }).write('{"keys":', () => response.destroy()),
    /terminated|fetch failed/,
  ],
]

t.test('after any invalid response the previous keys stay in use', async t => {
  const { provider, keys, counts, logged, until } = await open(t, jwks(first))
  for (const [index, [name, answer, reason]] of broken.entries()) {
    const other = await open(t, answer)
    t.equal(other.keys.current(), undefined, `${name}: there are no keys at the start`)
    t.match(other.logged.join(), reason, `${name}: the log says why`)
    t.match(other.logged.join(), /no token can be verified/, name)
    t.strictSame(other.counts, { failed: 1 }, name)
    if (index >= 4) continue
    provider.answer = answer
    const failed = counts.failed ?? 0
    keys.missing(`other-${index}`, clock())
    // It may also have tried again by itself.
    await until(() => (counts.failed ?? 0) > failed)
    t.ok(keys.current()?.has('first'), `${name}: the previous keys stay`)
    t.match(logged.at(-1), /the previous ones stay in use/, name)
  }
})

t.test('a provider that does not respond completely times out', async t => {
  const slow: readonly (readonly [name: string, answer: Answer])[] = [
    ['no response', () => {}],
    ['a head without a body', response => void response.writeHead(200).flushHeaders()],
    ['a body that only begins', response => void response.writeHead(200).write('{"keys":')],
    [
      'a body that arrives very slowly',
      response => {
        const timer = setInterval(() => response.write(' '), 5)
        response.once('close', () => clearInterval(timer))
      },
    ],
  ]
  for (const [name, answer] of slow) {
    let closed: Promise<unknown> = Promise.resolve()
    const { keys, counts, logged } = await open(
      t,
      (response, request) => {
        closed = once(response, 'close')
        answer(response, request)
      },
      { timeoutMs: 100 },
    )
    t.equal(keys.current(), undefined, name)
    t.strictSame(counts, { failed: 1 }, name)
    t.match(logged.join(), /no answer within 100 ms/, name)
    await closed
  }
})

t.test('a provider that comes back is fetched again', async t => {
  const { provider, keys, until } = await open(t, text('', 503))
  t.equal(keys.current(), undefined)
  provider.answer = jwks(first)
  await until(() => keys.current()?.has('first') === true)
})

t.test('the keys of an unreachable provider stay in use, and are fetched again when it is back', async t => {
  const { provider, keys, counts, until } = await open(t, jwks(first), { refreshMs: 20 })
  await provider.stop()
  await until(() => (counts.failed ?? 0) >= 1)
  t.ok(keys.current()?.has('first'))
  provider.answer = jwks(second)
  await provider.restart()
  await until(() => keys.current()?.has('second') === true)
})

t.test('nothing is fetched after closing', async t => {
  const refreshMs = 10
  const { provider, keys } = await open(t, jwks(first), { refreshMs })
  await provider.nextAsked()
  keys.close()
  const asked = provider.asked()
  keys.missing('other', clock())
  await fetchWouldHaveArrived(provider, refreshMs)
  t.equal(provider.asked(), asked + ownRequests)
})
