import fc from 'fast-check'
import t from 'tap'
import { covers } from '../../src/ticket/rights.js'
import { checkTokenClaims, type TokenPolicy } from '../../src/token/claims.js'
import { defaultRightsOf } from '../../src/token/default-rights.js'
import { type RightsRule, RightsRules, templateProblem } from '../../src/token/rights-rules.js'

const issuedAt = 1_764_000_000
const nowMs = issuedAt * 1000
const base: TokenPolicy = { maxTtlSeconds: 900 }
const good = { sub: 'maggie', iat: issuedAt, exp: issuedAt + 900 }

type Json = Readonly<Record<string, unknown>>

interface Policy extends Pick<TokenPolicy, 'defaultRights' | 'userClaim'> {
  readonly rightsRules?: readonly RightsRule[]
}

const ready = ({ rightsRules, ...others }: Policy): TokenPolicy => ({
  ...base,
  ...others,
  rightsRules: rightsRules && new RightsRules(rightsRules),
})

/** The rights of a token with these claims, or why it is refused. */
const outcome = (claims: Json, policy: Policy): unknown => {
  const result = checkTokenClaims({ ...good, ...claims }, ready(policy), nowMs)
  if ('reason' in result) return result.reason
  return { publish: result.publish, subscribe: result.subscribe }
}

const rule = (publish: readonly string[], subscribe: readonly string[] = [], when?: RightsRule['when']) => ({
  when,
  publish,
  subscribe,
})

const has = (claim: string | readonly string[], ...words: string[]) => ({ claim, has: words })

t.test('a token gets the rights of all matching rules', async t => {
  const rightsRules = [
    rule(['orders.${sub}'], ['prices.*'], has('realm_access.roles', 'trader')),
    rule([], ['prices.*', 'news'], has('groups', 'readers', 'writers')),
    rule(['notes'], [], has('groups', 'writers')),
  ]
  const of = (claims: Json) => outcome(claims, { rightsRules })
  const trader = { realm_access: { roles: ['user', 'trader'] } }
  t.strictSame(of(trader), { publish: ['orders.maggie'], subscribe: ['prices.*'] })
  t.strictSame(of({ groups: ['writers'] }), { publish: ['notes'], subscribe: ['prices.*', 'news'] })
  t.strictSame(of({ ...trader, groups: ['writers'] }), {
    publish: ['orders.maggie', 'notes'],
    subscribe: ['prices.*', 'news'],
  })
  t.equal(of({}), 'no_rights')
  t.equal(of({ realm_access: { roles: ['Trader', 'traders', 'trader '] } }), 'no_rights')
  t.strictSame(outcome({}, { rightsRules: [rule([], ['news'])] }), { publish: [], subscribe: ['news'] })
})

t.test('what a claim matches', async t => {
  const cases: [name: string, claims: Json, claim: string | readonly string[], matches: boolean][] = [
    ['a list', { roles: ['a', 'trader'] }, 'roles', true],
    ['a string', { role: 'trader' }, 'role', true],
    ['words of scope', { scope: 'openid trader email' }, 'scope', true],
    ['words of scp', { scp: 'trader' }, 'scp', true],
    ['words of permissions', { permissions: 'a trader' }, 'permissions', true],
    [
      'words of a claim whose name has dots',
      { 'https://x.example/roles': 'a trader' },
      'https://x.example/roles',
      true,
    ],
    ['words of a claim with a prefix', { 'cognito:groups': 'trader b' }, 'cognito:groups', true],
    ['words of a nested claim', { realm: { roles: 'a trader' } }, ['realm', 'roles'], true],
    ['words of a claim that the user may choose', { name: 'a trader' }, 'name', false],
    ['words of a claim whose name only ends the same', { my_roles: 'a trader' }, 'my_roles', false],
    ['words in a list', { roles: ['a trader'] }, 'roles', false],
    ['part of a word', { scope: 'trader:all' }, 'scope', false],
    ['other white space', { scope: 'a\ttrader\n' }, 'scope', false],
    ['another case', { scope: 'Trader' }, 'scope', false],
    ['a list in a list', { roles: [['trader']] }, 'roles', false],
    ['an object', { roles: { trader: true } }, 'roles', false],
    ['a number', { roles: 5 }, 'roles', false],
    ['null', { roles: null }, 'roles', false],
    ['nothing', {}, 'roles', false],
    ['an inherited member of objects', {}, 'constructor.name', false],
    ['an index of a list', { roles: ['trader'] }, 'roles.0', false],
  ]
  for (const [name, claims, claim, matches] of cases)
    t.strictSame(
      outcome(claims, { rightsRules: [rule(['x'], [], has(claim, 'trader', 'Object'))] }),
      matches ? { publish: ['x'], subscribe: [] } : 'no_rights',
      name,
    )
})

t.test('only a claim that is a channel name without dots can fill a pattern', async t => {
  const injections: unknown[] = [
    ...['*', 'a*', '*.b', 'a.*', 'a.b', '.', '..', 'a.', '.a', '', ' ', 'a b', 'a/b', 'a%2Eb', 'a#', 'a?b'],
    ...['${sub}', '${role}', '$&', '$1', 'a\n', 'a\0', '\u200b', 'ä', 'ａ', '․', '＊', 'a'.repeat(129)],
    ...[5, true, null, ['a'], { a: 'a' }, [['a']], undefined],
  ]
  for (const value of injections)
    for (const template of ['${team}', 'x.${team}', '${team}.*', 'x.${team}.y', 'x.${a.team}'])
      t.equal(
        outcome({ team: value, a: { team: value } }, { rightsRules: [rule([template])] }),
        `no_rights:${template.includes('a.team') ? 'a.team' : 'team'}`,
        JSON.stringify([value, template]),
      )
  t.equal(outcome({ team: 'a:b' }, { rightsRules: [rule(['x:${team}:*'])] }), 'no_rights:team')
  t.equal(outcome({ team: 'a:b' }, { rightsRules: [rule(['x.${team}:*'])] }), 'no_rights:team')
  t.equal(outcome({ team: 'a'.repeat(126) }, { rightsRules: [rule(['x.y.${team}'])] }), 'no_rights:team')
  const many = rule(['x.${team}.${sub}', '${user}', 'all', 'a.${team}'], ['x.${none}', 'prices'])
  t.strictSame(
    outcome({ team: 'a:~b_@-' }, { rightsRules: [many] }),
    { publish: ['x.a:~b_@-.maggie', 'maggie', 'all', 'a.a:~b_@-'], subscribe: ['prices'] },
    'a pattern that cannot be filled is left out, and the others count',
  )
  t.strictSame(
    outcome(
      { 'cognito:groups': 'g', 'https://x.example/team': 'red', a: { b: 'c' } },
      { rightsRules: [rule(['${cognito:groups}.${https://x.example/team}', '${a.b}:x'])] },
    ),
    { publish: ['g.red', 'c:x'], subscribe: [] },
    'claims are found by names with dots and by paths',
  )
})

t.test('one pattern never gives the same channel to two different values of a claim', async t => {
  const placeholder = fc.tuple(
    fc.constantFrom('', 'x'),
    fc.constantFrom('${a}', '${b}'),
    fc.constantFrom('.', ':', '', '-'),
  )
  const template = fc
    .tuple(
      fc.array(placeholder, { minLength: 1, maxLength: 3 }),
      fc.constantFrom('', 'x'),
      fc.constantFrom('', '*'),
    )
    .map(parts => parts.flat(2).join(''))
    .filter(text => text.includes('${a}') && templateProblem(text) === undefined)
  const value = fc.stringMatching(/^[ab][ab.:-]{0,2}$/)
  let compared = 0
  fc.assert(
    fc.property(template, value, value, value, (text, one, two, b) => {
      fc.pre(one !== two)
      const rules = new RightsRules([rule([text])])
      const [first] = rules.rightsOf({ a: one, b }, '').publish
      const [second] = rules.rightsOf({ a: two, b }, '').publish
      if (first === undefined || second === undefined) return true
      compared++
      return !covers([first], second.replace('*', '')) && !covers([second], first.replace('*', ''))
    }),
    { numRuns: 20_000, seed: 14 },
  )
  t.ok(compared > 1000, `more than 1000 of the pairs were compared: ${compared}`)
})

t.test('${user} is the user, whichever claim names the user', async t => {
  const rightsRules = [rule(['u.${user}'])]
  const of = (claims: Json) => outcome(claims, { rightsRules, userClaim: 'name' })
  t.strictSame(of({ name: 'theo', user: 'admin' }), { publish: ['u.theo'], subscribe: [] })
  t.equal(of({ name: 'auth0|5' }), 'no_rights:user')
  t.equal(of({ name: 'theo.b' }), 'no_rights:user')
})

const detail = (changes: Json = {}): Json => ({ type: 'ticketgate_channel', ...changes })
const malformed = 'claim_type:authorization_details'

t.test('authorization_details of our type give rights', async t => {
  const cases: [name: string, details: unknown, expected: unknown][] = [
    ['one', [detail({ publish: ['a'], subscribe: ['b.*'] })], { publish: ['a'], subscribe: ['b.*'] }],
    [
      'several, among other types',
      [detail({ publish: ['a'] }), { type: 'payment', publish: ['x'] }, detail({ publish: ['a', 'b'] })],
      { publish: ['a', 'b'], subscribe: [] },
    ],
    ['one that grants nothing', [detail()], { publish: [], subscribe: [] }],
    ['none of ours', [{ type: 'payment' }], { publish: undefined, subscribe: undefined }],
    ['none', [], { publish: undefined, subscribe: undefined }],
    ['an object', detail({ publish: ['a'] }), malformed],
    ['null', null, malformed],
    ['text', '[]', malformed],
    ['a list of texts', ['ticketgate_channel'], malformed],
    ['an unknown restriction', [detail({ publish: ['a'], locations: ['https://x'] })], malformed],
    ['a template', [detail({ publish: ['${sub}'] })], malformed],
    ['text instead of a list', [detail({ publish: 'a' })], malformed],
    ['a star in the middle', [detail({ subscribe: ['a*b'] })], malformed],
    ['17 of ours', Array.from({ length: 17 }, () => detail({ publish: ['a'] })), malformed],
    ['65 patterns', [detail({ publish: Array.from({ length: 65 }, (_, n) => `a${n}`) })], malformed],
  ]
  for (const [name, authorization_details, expected] of cases)
    t.strictSame(outcome({ authorization_details }, {}), expected, name)
})

t.test('rights from the token, from rules and from defaults combine', async t => {
  const defaultRights = defaultRightsOf(['d.${user}'], [])
  const rightsRules = [rule(['r'], [], has('role', 'x'))]
  const channels = { publish: ['c'] }
  const authorization_details = [detail({ publish: ['a'] })]
  const of = (claims: Json, isRuled: boolean) =>
    outcome(claims, { defaultRights, ...(isRuled ? { rightsRules } : {}) })
  const gives = (...publish: string[]) => ({ publish, subscribe: [] })
  t.strictSame(of({}, false), gives('d.maggie'), 'defaults')
  t.strictSame(of({ channels }, false), gives('c'))
  t.strictSame(of({ authorization_details }, false), gives('a'))
  t.strictSame(of({ channels, authorization_details }, false), gives('c', 'a'))
  t.equal(of({}, true), 'no_rights', 'rules replace the defaults')
  t.strictSame(of({ role: 'x' }, true), gives('r'))
  t.strictSame(of({ channels }, true), gives('c'))
  t.strictSame(of({ role: 'x', channels, authorization_details }, true), gives('c', 'a', 'r'))
  t.equal(of({ channels: {} }, true), 'no_rights')
  t.strictSame(of({ channels: {} }, false), gives())
  t.equal(of({ role: 'x', channels: 5 }, true), 'claim_type:channels')
  t.equal(of({ exp: issuedAt }, true), 'lifetime', 'rights are checked after the lifetime')
  const late = checkTokenClaims(good, ready({ rightsRules }), (issuedAt + 900) * 1000)
  t.match(
    late,
    { reason: 'expired' },
    'an expired token without rights is refused as expired, since a fresh one may have rights',
  )
})
