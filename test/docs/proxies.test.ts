import { readFileSync } from 'node:fs'
import t from 'tap'
import { codeBlocks, readPage } from './markdown.js'

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

t.test('the proxy configurations in the docs are those that the tests run', async t => {
  for (const [page, file, language] of [
    ['deployment', 'nginx-tls.conf', 'nginx'],
    ['many-nodes', 'nginx-nodes.conf', 'nginx'],
    ['many-nodes', 'nginx-unrouted.conf', 'nginx'],
    ['many-nodes', 'haproxy-nodes.cfg', 'haproxy'],
    ['in-front-of', 'nginx-verify.conf', 'nginx'],
    ['in-front-of', 'caddy-verify.caddyfile', 'caddyfile'],
    ['in-front-of-haproxy-envoy', 'haproxy-verify.cfg', 'haproxy'],
    ['in-front-of-haproxy-envoy', 'haproxy-verify.lua', 'lua'],
  ] as const)
    t.ok(
      codeBlocks(readPage(`docs/${page}.md`), language).includes(read(`test/proxy/${file}`).trimEnd()),
      file,
    )
})
