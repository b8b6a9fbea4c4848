import fc from 'fast-check'
import t from 'tap'
import { addressKey, addressText, createTrustedProxies, parseAddress } from '../../src/http/address.js'
import type { Address } from '../../src/ticket/address.js'

const seed = 20_260_602

const address = (text: string): Address => {
  const parsed = parseAddress(text)
  if (parsed === undefined) throw new Error(`${text} is not an address`)
  return parsed
}

const hex = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString('hex')

t.test('addresses are read as proxies write them', async t => {
  const cases = [
    ['203.0.113.9', 'cb007109'],
    ['0.0.0.0', '00000000'],
    ['255.255.255.255', 'ffffffff'],
    ['203.0.113.9:4711', 'cb007109'],
    ['2001:db8::1', '20010db8000000000000000000000001'],
    ['2001:DB8::1', '20010db8000000000000000000000001'],
    ['[2001:db8::1]', '20010db8000000000000000000000001'],
    ['[2001:db8::1]:443', '20010db8000000000000000000000001'],
    ['::', '00000000000000000000000000000000'],
    ['::ffff:203.0.113.9', 'cb007109'],
    ['::ffff:cb00:7109', 'cb007109'],
    ['[::ffff:203.0.113.9]:80', 'cb007109'],
    ['64:ff9b::203.0.113.9', '0064ff9b0000000000000000cb007109'],
    ['::fffe:cb00:7109', '00000000000000000000fffecb007109'],
  ] as const
  for (const [text, expected] of cases) t.equal(hex(parseAddress(text)), expected, text)
})

t.test('addresses are written as text; a reset connection has none', async t => {
  for (const text of ['203.0.113.9', '2001:db8::1']) t.equal(addressText(address(text)), text)
  t.equal(addressText(new Uint8Array()), '')
})

t.test('other texts are refused', async t => {
  const texts = [
    '',
    ' ',
    'unknown',
    '_hidden',
    'localhost',
    'example.com',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '1.2.3.-4',
    '010.0.0.1',
    '0x7f.0.0.1',
    '2130706433',
    '1.2.3.4:',
    '1.2.3.4:http',
    '[::1',
    '::1]',
    '[::1]x',
    '[]',
    ':::',
    '1::2::3',
    '::12345',
    '::ffff:999.1.1.1',
    'for=1.2.3.4',
    '"[::1]"',
    '1.2.3.4\0',
    '1.2.3.4\n',
    '10.0.0.0/8',
    '１.2.3.4',
  ]
  for (const text of texts) t.equal(parseAddress(text), undefined, JSON.stringify(text))
})

t.test('no text makes the parser throw, and results have 4 or 16 bytes', async t => {
  const characters = fc.constantFrom(...'0123456789abcdefF:.[]/%x ,')
  const property = fc.property(fc.oneof(fc.string({ unit: characters }), fc.string()), text => {
    const parsed = parseAddress(text)
    return parsed === undefined || parsed.length === 4 || parsed.length === 16
  })
  fc.assert(property, { seed, numRuns: 20_000 })
  const real = fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), text => parseAddress(text) !== undefined)
  fc.assert(real, { seed, numRuns: 5000 })
  t.pass(`seed ${seed}`)
})

t.test('limits count by IPv4 address and by IPv6 /64', async t => {
  const same = (one: string, two: string) => addressKey(address(one)) === addressKey(address(two))
  t.ok(same('203.0.113.9', '::ffff:203.0.113.9'))
  t.ok(same('2001:db8:0:1::1', '2001:db8:0:1:ffff:ffff:ffff:ffff'))
  t.notOk(same('203.0.113.9', '203.0.113.8'))
  t.notOk(same('2001:db8:0:1::1', '2001:db8:0:2::1'))
  t.notOk(same('203.0.113.9', 'cb00:7109::'), 'IPv4 and IPv6 addresses never share a key')
})

t.test('the client is the last address that is not a trusted proxy', async t => {
  const proxies = createTrustedProxies(['10.0.0.0/8', '192.0.2.1', '2001:db8:ffff::/48'])
  const cases = [
    ['an untrusted peer is the client', '203.0.113.9', '198.51.100.1', '203.0.113.9'],
    ['an untrusted peer without a header', '203.0.113.9', '', '203.0.113.9'],
    ['a proxy without a header', '10.0.0.1', '', '10.0.0.1'],
    ['one hop', '10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['an entry from the client is ignored', '10.0.0.1', '1.1.1.1, 198.51.100.1', '198.51.100.1'],
    ['a forged proxy to the left', '10.0.0.1', '10.0.0.9, 198.51.100.1', '198.51.100.1'],
    ['two proxies', '10.0.0.1', '1.1.1.1, 198.51.100.1, 10.0.0.2', '198.51.100.1'],
    ['a single address among the proxies', '192.0.2.1', '198.51.100.1', '198.51.100.1'],
    ['the neighbour of that address is not a proxy', '192.0.2.2', '198.51.100.1', '192.0.2.2'],
    ['only proxies', '10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['IPv6 proxy, IPv4 client', '2001:db8:ffff::1', '198.51.100.1', '198.51.100.1'],
    ['IPv6 outside of the network', '2001:db8:fffe::1', '198.51.100.1', '2001:db8:fffe::1'],
    ['mapped IPv4 among the hops', '10.0.0.1', '198.51.100.1, ::ffff:10.0.0.2', '198.51.100.1'],
    ['a port', '10.0.0.1', '198.51.100.1:4711', '198.51.100.1'],
    ['IPv6 in brackets, with a port', '10.0.0.1', '[2001:db8::7]:4711', '2001:db8::7'],
    ['no spaces', '10.0.0.1', '1.1.1.1,198.51.100.1,10.0.0.2', '198.51.100.1'],
    ['many spaces', '10.0.0.1', '  198.51.100.1 ,  10.0.0.2  ', '198.51.100.1'],
    [
      'an unreadable entry ends the search at the hop before',
      '10.0.0.1',
      '1.1.1.1, unknown, 10.0.0.2',
      '10.0.0.2',
    ],
    ['an unreadable entry only', '10.0.0.1', 'unknown', '10.0.0.1'],
    ['an empty entry is unreadable', '10.0.0.1', '198.51.100.1, ', '10.0.0.1'],
    ['a comma alone', '10.0.0.1', ',', '10.0.0.1'],
  ] as const
  for (const [name, peer, header, expected] of cases)
    t.strictSame(proxies.clientOf(address(peer), header), address(expected), name)
})

t.test('networks contain exactly their addresses', async t => {
  const nobody = createTrustedProxies([])
  t.notOk(nobody.has(address('127.0.0.1')))
  t.strictSame(nobody.clientOf(address('127.0.0.1'), '1.1.1.1'), address('127.0.0.1'))
  const cases = [
    ['10.0.0.0/8', '10.255.255.255', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['10.0.0.0/8', 'a00::1', false],
    ['::/0', '2001:db8::1', true],
    ['::/0', '10.0.0.1', false],
    ['0.0.0.0/0', '10.0.0.1', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['::1', '::1', true],
    ['::1', '::2', false],
    ['10.1.2.3/31', '10.1.2.2', true],
    ['10.1.2.3/31', '10.1.2.4', false],
    ['::ffff:10.0.0.1', '10.0.0.1', true],
    ['::ffff:10.0.0.0/104', '10.0.0.1', true],
  ] as const
  for (const [network, peer, expected] of cases)
    t.equal(createTrustedProxies([network]).has(address(peer)), expected, `${peer} in ${network}`)
})

t.test('a very long header is read to its end', async t => {
  const proxies = createTrustedProxies(['10.0.0.0/8'])
  const hops = Array.from({ length: 500 }, () => '10.0.0.2')
  t.strictSame(
    proxies.clientOf(address('10.0.0.1'), `198.51.100.1,${hops.join(',')}`),
    address('198.51.100.1'),
  )
})
