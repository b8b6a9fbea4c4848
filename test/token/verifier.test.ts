import t from 'tap'
import { createVerifierOn } from '../../src/token/verifier.js'

const nowMs = 1_764_000_000_000
const now = nowMs / 1000
const decoded = {
  header: { alg: 'HS256', typ: 'JWT' },
  payload: { sub: 'maggie', iat: now, exp: now + 60 },
}

t.test('a token that is worth it is taken apart once', async t => {
  for (const [isWorthIt, expected] of [
    [() => true, 1],
    [() => false, 3],
    [undefined, 1],
  ] as const) {
    let count = 0
    const decode = () => {
      count++
      return decoded
    }
    const verifier = createVerifierOn(decode, { maxTtlSeconds: 900 }, isWorthIt)
    for (let round = 0; round < 3; round++) t.match(verifier.verify('token', nowMs), { user: 'maggie' })
    t.equal(count, expected)
  }
})

t.test('only good tokens are asked about', async t => {
  const asked: string[] = []
  const isWorthIt = (token: string): boolean => asked.push(token) > 0
  const verifier = createVerifierOn(
    token => {
      if (token === 'forged') throw new Error('no')
      return { ...decoded, header: token === 'typed' ? { typ: 'dpop+jwt' } : {} }
    },
    { maxTtlSeconds: 900 },
    isWorthIt,
  )
  t.equal(verifier.verify('forged', nowMs), 'token_invalid')
  t.equal(verifier.verify('typed', nowMs), 'token_invalid')
  t.equal(verifier.verify('early', nowMs - 1), 'token_invalid')
  t.equal(verifier.verify('late', nowMs + 60_000), 'token_expired')
  t.match(verifier.verify('good', nowMs), { user: 'maggie' })
  t.strictSame(asked, ['good'])
})
