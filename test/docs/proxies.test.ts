import { readFileSync } from 'node:fs'
import t from 'tap'
import { codeBlocks } from './markdown.js'

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const readme = read('README.md')

t.test('the configurations of proxies are those which the tests run', async t => {
  for (const [file, language] of [
    ['nginx-nodes.conf', 'nginx'],
    ['nginx-unrouted.conf', 'nginx'],
    ['haproxy-nodes.cfg', 'haproxy'],
    ['nginx-verify.conf', 'nginx'],
    ['caddy-verify.caddyfile', 'caddyfile'],
  ] as const)
    t.ok(codeBlocks(readme, language).includes(read(`test/proxy/${file}`).trimEnd()), file)
})
