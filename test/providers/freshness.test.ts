import t from 'tap'
import { freshnessOf } from '../../src/providers/freshness.js'

const nowMs = Date.parse('Mon, 30 Nov 2026 09:00:00 GMT')

t.test('caching headers say how long a document may be used', async t => {
  const cases: [headers: Record<string, string>, ms: number | undefined][] = [
    [{}, undefined],
    [{ 'cache-control': '' }, undefined],
    [{ 'cache-control': 'public, must-revalidate' }, undefined],
    [{ 'cache-control': 'max-age=15' }, 15_000],
    [{ 'cache-control': 'public, MAX-AGE=21600, must-revalidate, no-transform' }, 21_600_000],
    [{ 'cache-control': 'max-age="60"' }, 60_000],
    [{ 'cache-control': 's-maxage=5' }, undefined],
    [{ 'cache-control': 'max-age=60', age: '50' }, 10_000],
    [{ 'cache-control': 'max-age=60', age: '90' }, 0],
    [{ 'cache-control': 'max-age=60', age: '-90' }, 60_000],
    [{ 'cache-control': 'max-age=60', expires: 'Mon, 30 Nov 2026 10:00:00 GMT' }, 60_000],
    [{ 'cache-control': 'no-store, max-age=60' }, 0],
    [{ 'cache-control': 'max-age=60, no-cache' }, 0],
    [{ 'cache-control': 'max-age=-1' }, 0],
    [{ 'cache-control': 'max-age=1e9' }, 0],
    [{ 'cache-control': 'max-age' }, 0],
    [{ 'cache-control': 'max-age=60; x' }, 0],
    [{ 'cache-control': `max-age=${'9'.repeat(400)}` }, Number.POSITIVE_INFINITY],
    [{ expires: 'Mon, 30 Nov 2026 09:00:30 GMT' }, 30_000],
    [{ expires: 'Mon, 30 Nov 2026 09:00:30 GMT', date: 'Mon, 30 Nov 2026 09:00:10 GMT' }, 20_000],
    [{ expires: 'Mon, 30 Nov 2026 09:00:30 GMT', date: 'yesterday' }, 30_000],
    [{ expires: 'Mon, 30 Nov 2020 09:00:00 GMT' }, 0],
    [{ expires: '0' }, 0],
    [{ expires: 'never' }, 0],
  ]
  for (const [headers, ms] of cases)
    t.equal(freshnessOf(new Headers(headers), nowMs), ms, JSON.stringify(headers).slice(0, 100))
})
