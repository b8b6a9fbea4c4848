import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import t from 'tap'
import { hexOf, layoutOf } from '../../src/console/ticket-layout.js'

interface Vector {
  readonly name: string
  readonly node?: string
  readonly ticket: string
  readonly issuedAtMs: number
  readonly ttlSeconds: number
  readonly nonce: string
  readonly claims: Readonly<Record<string, unknown>>
}

const file = new URL('../../src/ticket/vectors.json', import.meta.url)
const { valid }: { valid: readonly Vector[] } = JSON.parse(readFileSync(file, 'utf8'))

t.test('every valid vector is shown as documented', async t => {
  t.ok(valid.length > 5)
  for (const { name, node, ticket, issuedAtMs, ttlSeconds, nonce, claims } of valid) {
    const layout = layoutOf(ticket)
    const field = (wanted: string) => layout.fields.find(each => each.name === wanted)
    t.equal(layout.node ?? '', node ?? '', `${name}: node`)
    t.equal(layout.ttlSeconds, ttlSeconds, `${name}: ttl`)
    t.equal(field('issuedAt')?.value, new Date(issuedAtMs).toISOString(), `${name}: issuedAt`)
    t.equal(hexOf(field('nonce')?.bytes ?? new Uint8Array()).replaceAll(' ', ''), nonce, `${name}: nonce`)
    t.equal(field('MAC')?.bytes.length, 32, `${name}: MAC`)
    let at = 0
    for (const { offset, bytes } of layout.fields) {
      t.equal(offset, at, `${name}: no byte is left out`)
      at += bytes.length
    }
    t.strictSame(layout.claims.map(({ key }) => key).sort(), Object.keys(claims).sort(), `${name}: claims`)
    for (const { key, value, meaning } of layout.claims) {
      t.not(meaning, 'unknown', `${name}: ${key}`)
      if (key === 'u') t.equal(value, JSON.stringify(claims.u), `${name}: user`)
      if (key === 'x') t.equal(Date.parse(value) / 1000, claims.x, `${name}: end of the session`)
      if (key === 'a') t.equal(value.replaceAll(' ', ''), claims.a, `${name}: address`)
    }
  }
})

/** The layout function as bundled for the page, where there is no Buffer of Node. */
async function layoutOfPage(): Promise<typeof layoutOf> {
  const fileOf = (name: string): string =>
    fileURLToPath(new URL(`../../src/console/${name}`, import.meta.url))
  const { outputFiles } = await build({
    entryPoints: [fileOf('ticket-layout.ts')],
    alias: { 'node:buffer': fileOf('page/buffer.ts') },
    bundle: true,
    format: 'esm',
    write: false,
  })
  const text = outputFiles[0]?.text ?? ''
  const module: { layoutOf: typeof layoutOf } = await import(
    `data:text/javascript,${encodeURIComponent(text)}`
  )
  return module.layoutOf
}

/** A ticket whose claims are numbers, one in each format. */
const everyNumber = {
  name: 'every format of a number',
  ticket: Buffer.concat([
    Buffer.alloc(26),
    Buffer.from(
      '81a16e9c01ff' +
        'cc81cdff01ceff000001cfffffffff00000001' +
        'd081d18001d280000001d3ffffffff00000001' +
        'ca3fc00000cb3ff8000000000000',
      'hex',
    ),
    Buffer.alloc(32),
  ]).toString('base64url'),
}

t.test('the page shows the same layout as the server', async t => {
  const ofPage = await layoutOfPage()
  for (const { name, ticket } of [...valid, everyNumber]) {
    const [here, there] = [layoutOf(ticket), ofPage(ticket)]
    t.not(here.claims.length, 0, name)
    t.strictSame(there.claims, here.claims, name)
    t.strictSame(
      there.fields.map(({ value, bytes }) => [value, hexOf(bytes)]),
      here.fields.map(({ value, bytes }) => [value, hexOf(bytes)]),
      name,
    )
  }
})
