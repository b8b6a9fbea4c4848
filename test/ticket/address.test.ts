import t from 'tap'
import { type Address, isInPrefix, normalize, prefixOf, readAddress } from '../../src/ticket/address.js'

const address = (text: string): Address => {
  const read = readAddress(text)
  if (read === undefined) throw new Error(`${text} is not an address`)
  return read
}

const prefix = (text: string, v4: number, v6: number): Uint8Array => {
  const read = address(text)
  return prefixOf(read, read.length === 4 ? v4 : v6)
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

t.test('text with brackets, a port or a prefix length is not an address', async t => {
  for (const text of ['[::1]', '203.0.113.9:80', '[::1]:80', '', '203.0.113.0/24'])
    t.equal(readAddress(text), undefined, JSON.stringify(text))
})

t.test('IPv4-mapped IPv6 is IPv4, and nothing else is', async t => {
  const bytes = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'))
  t.equal(hex(normalize(bytes('00000000000000000000ffffcb007109'))), 'cb007109')
  for (const other of [
    '00000000000000000000fffecb007109',
    '000000000000000000000000cb007109',
    '00000000000000000001ffffcb007109',
    '80000000000000000000ffffcb007109',
    'cb007109',
  ])
    t.equal(hex(normalize(bytes(other))), other)
})

t.test('prefixes of an address', async t => {
  const cases = [
    ['203.0.113.255', 32, 64, '20cb0071ff'],
    ['203.0.113.255', 24, 64, '18cb0071'],
    ['203.0.113.255', 25, 64, '19cb007180'],
    ['203.0.113.255', 31, 64, '1fcb0071fe'],
    ['203.0.113.255', 1, 64, '0180'],
    ['203.0.113.255', 0, 64, '00'],
    ['2001:db8:1:2:ffff::1', 32, 64, '4020010db800010002'],
    ['2001:db8:1:2:ffff::1', 32, 65, '4120010db80001000280'],
    ['2001:db8:1:2:ffff::1', 32, 48, '3020010db80001'],
    ['2001:db8:1:2:ffff::1', 32, 128, '8020010db800010002ffff000000000001'],
  ] as const
  for (const [text, v4, v6, expected] of cases)
    t.equal(hex(prefix(text, v4, v6)), expected, `${text} ${v4},${v6}`)
})

t.test('addresses inside and outside a prefix', async t => {
  const cases = [
    ['203.0.113.9', 32, 64, '203.0.113.9', true],
    ['203.0.113.9', 32, 64, '203.0.113.8', false],
    ['203.0.113.9', 24, 64, '203.0.113.250', true],
    ['203.0.113.9', 24, 64, '203.0.112.9', false],
    ['203.0.113.127', 25, 64, '203.0.113.0', true],
    ['203.0.113.127', 25, 64, '203.0.113.128', false],
    ['203.0.113.9', 0, 64, '8.8.8.8', true],
    ['203.0.113.9', 0, 64, '2001:db8::1', false],
    ['203.0.113.9', 32, 64, '::ffff:203.0.113.9', true],
    ['2001:db8:1:2::1', 32, 64, '2001:db8:1:2:ffff::9', true],
    ['2001:db8:1:2::1', 32, 64, '2001:db8:1:3::1', false],
    ['2001:db8:1:2::1', 32, 63, '2001:db8:1:3::1', true],
    ['2001:db8:1:2::1', 32, 128, '2001:db8:1:2::1', true],
    ['2001:db8:1:2::1', 32, 128, '2001:db8:1:2::2', false],
    ['cb00:7109::', 32, 33, '203.0.113.9', false],
  ] as const
  for (const [own, v4, v6, other, expected] of cases)
    t.equal(isInPrefix(address(other), prefix(own, v4, v6)), expected, `${own}/${v4},${v6} ${other}`)
})

t.test('invalid prefixes match nothing', async t => {
  const own = address('203.0.113.9')
  for (const bad of ['', '20', '20cb0071', '20cb00710900', '19cb0071ff', '21cb00710900', 'ffcb007109'])
    t.notOk(isInPrefix(own, Buffer.from(bad, 'hex')), bad)
})
