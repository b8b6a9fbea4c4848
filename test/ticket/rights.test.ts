import t from 'tap'
import {
  covers,
  isChannelPatterns,
  mayOpen,
  mayPublish,
  maySubscribe,
  type Rights,
} from '../../src/ticket/rights.js'

t.test('patterns cover the right channels', async t => {
  const cases = [
    ['no list covers everything', undefined, 'red', true],
    ['no list covers the empty name', undefined, '', true],
    ['an empty list covers nothing', [], 'red', false],
    ['an empty list does not cover the empty name', [], '', false],
    ['a name covers itself', ['red'], 'red', true],
    ['a name covers nothing longer', ['red'], 'red.1', false],
    ['a name covers nothing shorter', ['red'], 're', false],
    ['a name covers no other case', ['red'], 'Red', false],
    ['a prefix covers a name that begins with it', ['chat.*'], 'chat.1', true],
    ['a prefix covers itself', ['chat.*'], 'chat.', true],
    ['a prefix does not cover a shorter name', ['chat.*'], 'chat', false],
    ['a prefix does not match in the middle', ['chat.*'], 'my.chat.1', false],
    ['a star covers everything', ['*'], 'red', true],
    ['a star covers the empty name', ['*'], '', true],
    ['the empty name covers itself', [''], '', true],
    ['the empty name covers nothing else', [''], 'red', false],
    ['a dot is a dot', ['c.t'], 'cat', false],
    ['one match in a list is enough', ['red', 'chat.*', 'blue'], 'blue', true],
    ['a list without a match', ['red', 'chat.*'], 'blue', false],
  ] as const
  for (const [name, patterns, channel, expected] of cases) t.equal(covers(patterns, channel), expected, name)
})

t.test('rights decide whether a ticket may publish, subscribe and open', async t => {
  const cases: readonly (readonly [string, Rights, string, readonly [boolean, boolean, boolean]])[] = [
    ['no restriction', {}, 'red', [true, true, true]],
    ['bound to this channel', { channel: 'red' }, 'red', [true, true, true]],
    ['bound to another', { channel: 'red' }, 'blue', [false, false, false]],
    ['bound to a channel that this one begins with', { channel: 'red' }, 'red.1', [false, false, false]],
    ['bound to the empty name', { channel: '' }, 'red', [false, false, false]],
    ['bound to the empty name, at it', { channel: '' }, '', [true, true, true]],
    ['bound to a star, which is not a pattern here', { channel: '*' }, 'red', [false, false, false]],
    ['publish only', { publish: ['red'], subscribe: [] }, 'red', [true, false, true]],
    ['subscribe only', { publish: [], subscribe: ['red'] }, 'red', [false, true, true]],
    ['neither', { publish: [], subscribe: [] }, 'red', [false, false, false]],
    ['publish elsewhere, subscribe without limit', { publish: ['blue'] }, 'red', [false, true, true]],
    ['a list does not widen the binding', { channel: 'red', publish: ['*'] }, 'blue', [false, false, false]],
    ['a binding does not widen a list', { channel: 'red', publish: ['blue'] }, 'red', [false, true, true]],
  ]
  for (const [name, rights, channel, expected] of cases)
    t.strictSame(
      [mayPublish(rights, channel), maySubscribe(rights, channel), mayOpen(rights, channel)],
      expected,
      name,
    )
})

t.test('only lists of valid patterns are channel patterns', async t => {
  const good = [
    [],
    [''],
    ['*'],
    ['red'],
    ['chat.*', 'A-z0.9_~:@-'],
    ['a'.repeat(128)],
    [`${'a'.repeat(128)}*`],
  ]
  for (const list of good) t.ok(isChannelPatterns(list), JSON.stringify(list))
  const bad = [
    undefined,
    null,
    'red',
    { 0: 'red' },
    [5],
    [null],
    ['a*b'],
    ['**'],
    ['*a'],
    ['a b'],
    ['a/b'],
    ['ä'],
    ['red\n'],
    ['%41'],
    ['a'.repeat(129)],
    ['red', ['blue']],
  ]
  for (const value of bad) t.notOk(isChannelPatterns(value), JSON.stringify(value))
})
