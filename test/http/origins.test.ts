import t, { type Test } from 'tap'
import { createOriginPolicy, type OriginPolicyOptions } from '../../src/http/origins.js'

const own = 'https://gate.test'

const check = (
  t: Test,
  options: OriginPolicyOptions,
  { allowed, refused }: { readonly allowed: readonly string[]; readonly refused: readonly string[] },
): void => {
  const policy = createOriginPolicy(options)
  for (const origin of allowed)
    t.equal(
      policy.allows(origin, () => own),
      true,
      `${origin} is allowed`,
    )
  for (const origin of refused)
    t.equal(
      policy.allows(origin, () => own),
      false,
      `${origin} is refused`,
    )
}

t.test('a list allows exactly its origins, in production and in development', async t => {
  for (const production of [true, false])
    check(
      t,
      {
        origins: ['https://example.com', 'http://localhost:3000', 'https://app.example.com:8443'],
        production,
      },
      {
        allowed: ['https://example.com', 'http://localhost:3000', 'https://app.example.com:8443'],
        refused: [
          'http://example.com',
          'https://example.com:443',
          'https://example.com:8443',
          'https://example.com/',
          'https://example.com.evil.test',
          'https://evil-example.com',
          'https://sub.example.com',
          'https://app.example.com',
          'https://EXAMPLE.com',
          'HTTPS://example.com',
          ' https://example.com',
          'https://example.com https://evil.test',
          'https://user@example.com',
          'null',
          'file://',
          '*',
          '__proto__',
          own,
          'http://localhost',
          'http://127.0.0.1:3000',
        ],
      },
    )
})

t.test('without a list, production allows only our own origin', async t => {
  check(
    t,
    { origins: [], production: true },
    {
      allowed: [own],
      refused: [
        'http://gate.test',
        'https://gate.test:8443',
        'https://gate.test.evil.test',
        'https://x.gate.test',
        'http://localhost',
        'http://localhost:8080',
        'http://127.0.0.1',
        'null',
      ],
    },
  )
})

t.test('without a list, development allows our own origin and this machine', async t => {
  check(
    t,
    { origins: [], production: false },
    {
      allowed: [
        own,
        'http://localhost',
        'https://localhost',
        'http://localhost:5173',
        'http://127.0.0.1:8080',
        'http://[::1]:8080',
      ],
      refused: [
        'http://localhost.evil.test',
        'http://evil.test/localhost',
        'http://localhost:80:80',
        'http://localhost:',
        'http://localhost:8080/',
        'http://localhost:8080\n',
        'http://xlocalhost',
        'http://x.localhost',
        'http://127.0.0.2',
        'http://127.0.0.1.evil.test',
        'http://127a0b0c1',
        'ws://localhost',
        'file://localhost',
        'http://localhost@evil.test',
        'null',
      ],
    },
  )
})

t.test('if our own origin is unknown, no origin is allowed', async t => {
  const policy = createOriginPolicy({ origins: [], production: true })
  for (const origin of ['null', 'https://gate.test', ' '])
    t.notOk(
      policy.allows(origin, () => ''),
      origin,
    )
})

t.test('our own origin is computed only if needed', async t => {
  const never = () => {
    throw new Error('asked')
  }
  const listed = createOriginPolicy({ origins: ['https://example.com'], production: true })
  t.equal(listed.allows('https://example.com', never), true)
  t.equal(listed.allows('https://evil.test', never), false)
  const local = createOriginPolicy({ origins: [], production: false })
  t.equal(local.allows('http://localhost:3000', never), true)
})
