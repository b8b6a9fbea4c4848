import { readFileSync } from 'node:fs'
import { Ajv } from 'ajv'
import t from 'tap'
import { parse } from 'yaml'
import { closeCode } from '../../src/protocol.js'
import type { Json } from '../support/http.js'
import { codeBlocks } from './markdown.js'

const read = (name: string): string =>
  readFileSync(new URL(`../../src/socket/${name}`, import.meta.url), 'utf8')
const document = parse(read('asyncapi.yaml')) as {
  readonly asyncapi: string
  readonly channels: { readonly socket: { readonly messages: Json; readonly 'x-close-codes': Json } }
  readonly operations: Readonly<Record<string, { readonly messages: readonly { readonly $ref: string }[] }>>
  readonly components: { readonly messages: Readonly<Record<string, unknown>> }
}
const protocol = read('PROTOCOL.md')
const ajv = new Ajv({ strict: false })
ajv.addSchema(document, 'asyncapi', undefined, false)

const names = (operation: string): Set<string> =>
  new Set(document.operations[operation]?.messages.map(({ $ref }) => $ref.replace(/.*\//, '')))
const fits = (message: Json): boolean =>
  ajv.validate({ $ref: `asyncapi#/components/messages/${String(message.type)}/payload` }, message)

t.test('the AsyncAPI document lists every message, each in one direction', async t => {
  t.match(document.asyncapi, /^3\./)
  const all = Object.keys(document.components.messages).sort()
  t.strictSame(Object.keys(document.channels.socket.messages).sort(), all)
  t.strictSame([...names('toServer'), ...names('toClient')].sort(), all)
})

t.test('every example of the protocol is valid, and every message has an example', async t => {
  const seen = new Set<string>()
  const examples = ['wire', 'first', 'notice'].flatMap(kind => codeBlocks(protocol, kind))
  const lines = examples.join('\n').split('\n')
  for (const line of lines) {
    const message = JSON.parse(line.slice(2)) as Json
    const type = String(message.type)
    if (!names(line.startsWith('→') ? 'toServer' : 'toClient').has(type)) continue
    seen.add(type)
    // Some requests in the protocol are invalid, to show the errors.
    const isWrong = line.startsWith('→') && (message.id === 3 || message.id === 5) && !('ticket' in message)
    t.equal(fits(message), !isWrong, line)
  }
  t.strictSame([...seen].sort(), Object.keys(document.components.messages).sort())
})

t.test('the AsyncAPI document lists every close code', async t => {
  t.strictSame(
    Object.keys(document.channels.socket['x-close-codes']).map(Number).sort(),
    Object.values(closeCode).sort(),
  )
})
