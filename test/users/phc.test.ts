import { hash as argon2Hash } from '@node-rs/argon2'
import t from 'tap'
import { argon2Parameters, passwordHashFault } from '../../src/users/phc.js'

const good =
  '$argon2id$v=19$m=19456,t=2,p=1$Hn6iv9lj4Sp3smt4NpXajQ$+YXJX6uwj8YWbxzaZ/dSTK+e3oc/xSP1ZzgmyA+Z63Y'

t.test('hashes with allowed parameters are accepted', async t => {
  t.equal(passwordHashFault(good), undefined)
  t.equal(passwordHashFault(await argon2Hash('secret', argon2Parameters)), undefined)
  t.equal(passwordHashFault(good.replace('m=19456,t=2,p=1', 'm=262144,t=10,p=8')), undefined, 'the most')
  t.equal(passwordHashFault(good.replace('m=19456,t=2,p=1', 'm=7168,t=1,p=1')), undefined, 'the least')
})

t.test('all other hashes are refused', async t => {
  const cases = [
    ['empty', '', /not an argon2id hash/],
    ['a plain password', 'secret', /not an argon2id hash/],
    ['argon2i', good.replace('argon2id', 'argon2i'), /not an argon2id hash/],
    ['argon2d', good.replace('argon2id', 'argon2d'), /not an argon2id hash/],
    ['the old version', good.replace('v=19', 'v=16'), /not an argon2id hash/],
    ['no version', good.replace('v=19$', ''), /not an argon2id hash/],
    ['truncated', good.slice(0, -2), /not an argon2id hash/],
    ['a line end', `${good}\n`, /not an argon2id hash/],
    ['no output', good.slice(0, good.lastIndexOf('$')), /not an argon2id hash/],
    ['4 GiB', good.replace('m=19456', 'm=4194304'), /memoryCost 4194304/],
    ['256 MiB and a bit', good.replace('m=19456', 'm=262145'), /memoryCost 262145/],
    ['hardly any memory', good.replace('m=19456', 'm=7167'), /memoryCost 7167/],
    ['memory beyond 32 bits', good.replace('m=19456', 'm=99999999999'), /not an argon2id hash/],
    ['negative memory', good.replace('m=19456', 'm=-1'), /not an argon2id hash/],
    ['a million passes', good.replace('t=2', 't=1000000'), /timeCost 1000000/],
    ['no pass', good.replace('t=2', 't=0'), /not an argon2id hash/],
    ['many lanes', good.replace('p=1', 'p=9'), /parallelism 9/],
    ['a short output', good.replace(/[^$]+$/, 'AAAAAAAA'), /outputLen 6/],
    ['a long string', good.replace(/[^$]+$/, 'A'.repeat(400)), /not an argon2id hash/],
  ] as const
  for (const [name, phc, reason] of cases) {
    t.match(passwordHashFault(phc), reason, name)
    t.notMatch(passwordHashFault(phc), 'Hn6iv9lj4Sp3smt4NpXajQ', `${name}: the hash is not repeated`)
  }
})
