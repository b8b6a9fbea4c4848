import { randomBytes } from 'node:crypto'
import t from 'tap'
import { SeenTokens } from '../../src/token/token-cache.js'

t.test('a token is recognised when it is seen again', async t => {
  const seen = new SeenTokens()
  const isKnown = (token: string): boolean => seen.see(token)
  const tokens = Array.from({ length: 100 }, () => `e30.e30.${randomBytes(32).toString('base64url')}`)
  t.strictSame(tokens.filter(isKnown), [])
  t.ok(tokens.filter(isKnown).length >= 95, 'all are recognised but a few, whose slot another token took')
})

t.test('a flood of other tokens makes a token forgotten', async t => {
  const seen = new SeenTokens()
  const isKnown = (token: string): boolean => seen.see(token)
  const token = `e30.e30.${'A'.repeat(43)}`
  isKnown(token)
  t.ok(isKnown(token))
  const others = randomBytes(9 * 500_000)
  for (let at = 0; at < others.length; at += 9) isKnown(others.toString('base64url', at, at + 9))
  t.notOk(isKnown(token))
})

t.test('short texts are accepted as well', async t => {
  const seen = new SeenTokens()
  const isKnown = (token: string): boolean => seen.see(token)
  for (const text of ['', 'a', 'a.b.c']) t.type(isKnown(text), 'boolean')
})
