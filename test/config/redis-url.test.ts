import t from 'tap'
import { parseRedisUrl } from '../../src/config/redis-url.js'

const plain = { isTls: false, username: '', password: '', database: 0 }

t.test('every form of URL is understood', async t => {
  const cases = [
    ['redis://127.0.0.1', { ...plain, at: { host: '127.0.0.1', port: 6379 } }],
    ['redis://h:7000/', { ...plain, at: { host: 'h', port: 7000 } }],
    ['redis://[::1]:7000/3', { ...plain, at: { host: '::1', port: 7000 }, database: 3 }],
    [
      'rediss://me:a%2Fb%3F%40@redis.example/1',
      {
        isTls: true,
        username: 'me',
        password: 'a/b?@',
        database: 1,
        at: { host: 'redis.example', port: 6379 },
      },
    ],
    ['redis://:x@h', { ...plain, password: 'x', at: { host: 'h', port: 6379 } }],
    ['redis+unix:///run/redis.sock', { ...plain, at: { path: '/run/redis.sock' } }],
    [
      'redis+unix://me:x@/run/a%20b.sock?db=2',
      { isTls: false, username: 'me', password: 'x', database: 2, at: { path: '/run/a b.sock' } },
    ],
    [
      'redis+sentinel://a,b:5000,[::1]:5001/my-primary',
      {
        ...plain,
        at: {
          name: 'my-primary',
          sentinels: [
            { host: 'a', port: 26379 },
            { host: 'b', port: 5000 },
            { host: '::1', port: 5001 },
          ],
        },
      },
    ],
    [
      'rediss+sentinel://me:x@a/primary/4',
      {
        isTls: true,
        username: 'me',
        password: 'x',
        database: 4,
        at: { name: 'primary', sentinels: [{ host: 'a', port: 26379 }] },
      },
    ],
  ] as const
  for (const [url, address] of cases) t.strictSame(parseRedisUrl(url), address, url)
})

t.test('refusals quote nothing of the URL', async t => {
  const cases = [
    ['http://canary', /is not a Redis URL/],
    ['redis://', /is not a Redis URL/],
    ['redis://:canary@', /is not a Redis URL/],
    ['redis://h:0x1', /is not a Redis URL/],
    ['redis://h/canary', /has an unexpected path/],
    ['redis://h/12345', /has an unexpected path/],
    ['redis://h/1?db=2', /has an unexpected path/],
    ['redis://:a/canary@h', /has an unexpected path/],
    ['redis://:canary%@h', /starts no escape sequence/],
    ['redis+unix://run/redis.sock', /is not a Redis URL/],
    ['redis+unix:///', /is not a Redis URL/],
    ['redis+unix:///run/redis.sock?canary=1', /has an unexpected path/],
    ['redis+sentinel://a,b', /is not a Redis URL/],
    ['redis+sentinel://a,,b/name', /is not a Redis URL/],
    ['redis+sentinel://a/name/1/2', /is not a Redis URL/],
    ['redis+sentinel://a/na me', /is not a Redis URL/],
  ] as const
  for (const [url, message] of cases)
    t.throws(() => parseRedisUrl(url), { message: new RegExp(`^(?!.*canary).*${message.source}`) }, url)
})
