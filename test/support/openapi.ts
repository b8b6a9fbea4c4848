import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import type { Test } from 'tap'
import { parse } from 'yaml'
import { type Json, type Reply, type RequestOptions, request } from './http.js'

const methods = ['get', 'post'] as const
export type Method = (typeof methods)[number]

interface MediaType {
  readonly schema: Json
}

interface Described {
  readonly $ref?: string
  readonly headers?: Readonly<Record<string, { readonly $ref?: string; readonly required?: boolean }>>
  readonly content?: Readonly<Record<string, MediaType>>
}

interface Operation {
  readonly responses: Readonly<Record<string, Described>>
  readonly requestBody?: { readonly content: Readonly<Record<string, MediaType>> }
}

interface OpenApi {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Partial<Record<Method, Operation>>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Json>> }
}

export const openApiFile = new URL('../../docs/openapi.yaml', import.meta.url)
export const openApi = parse(readFileSync(openApiFile, 'utf8')) as OpenApi

const ajv = new Ajv2020({ strict: false, allErrors: true })
ajv.addSchema(openApi, 'openapi', undefined, false)

/** Resolves a reference within the document. */
const resolved = <T extends { readonly $ref?: string }>(described: T): T =>
  described.$ref === undefined
    ? described
    : (described.$ref
        .slice(2)
        .split('/')
        .reduce((at: unknown, name) => (at as Json)[name], openApi) as T)

// References are relative to the document, whatever schema they are in.
const compile = (schema: Json) =>
  ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"$ref":"#', '"$ref":"openapi#')) as Json)

const codesOf = ({ content }: Described): readonly string[] => {
  const properties = content?.['application/problem+json']?.schema.properties as
    | { readonly code: { readonly const?: string; readonly enum?: readonly string[] } }
    | undefined
  const code = properties?.code
  return code === undefined ? [''] : (code.enum ?? [code.const ?? ''])
}

/**
 * Every described reply, written as `POST /auth 401 bad_credentials`; without a code if it is not
 * a refusal.
 */
export const describedReplies: readonly string[] = Object.entries(openApi.paths).flatMap(
  ([path, operations]) =>
    methods.flatMap(method =>
      Object.entries(operations[method]?.responses ?? {}).flatMap(([status, response]) =>
        codesOf(resolved(response)).map(code => `${method.toUpperCase()} ${path} ${status} ${code}`.trim()),
      ),
    ),
)

/** Like `request`, but closes an event stream as soon as it has begun. */
async function send(base: string, path: string, options: RequestOptions): Promise<Reply> {
  if (!path.startsWith('/events')) return request(base, path, options)
  const abort = new AbortController()
  const headers = options.headers as Record<string, string>
  const reply = await fetch(base + path, { headers: headers ?? {}, signal: abort.signal })
  const isStream = reply.headers.get('content-type') === 'text/event-stream'
  const text = isStream ? '' : await reply.text()
  abort.abort()
  return { status: reply.status, headers: Object.fromEntries(reply.headers), text }
}

/** Reports how real requests and replies differ from the description. */
export class OpenApiCheck {
  /** The replies seen, as in `describedReplies`. */
  readonly seen = new Set<string>()
  readonly #t: Test

  constructor(t: Test) {
    this.#t = t
  }

  /**
   * Sends a request to a described path and checks the reply, and the request too, unless it is
   * refused.
   */
  async ask(
    method: Method,
    path: string,
    base: string,
    options: RequestOptions & { readonly query?: string; readonly path?: string } = {},
  ): Promise<Reply> {
    const { query = '', path: real = path, ...rest } = options
    const reply = await send(base, `${real}${query}`, { method: method.toUpperCase(), ...rest })
    this.check(method, path, reply)
    const schema = openApi.paths[path]?.[method]?.requestBody?.content['application/json']?.schema
    if (reply.status < 300 && rest.body !== undefined && schema !== undefined)
      this.#fits(schema, JSON.parse(rest.body), `${method} ${path}: the request`)
    return reply
  }

  check(method: Method, path: string, reply: Reply): void {
    const described = openApi.paths[path]?.[method]?.responses[reply.status]
    const name = `${method.toUpperCase()} ${path} ${reply.status}`
    if (described === undefined) return void this.#t.fail(`${name} is not described: ${reply.text}`)
    const { headers = {}, content } = resolved(described)
    for (const [header, value] of Object.entries(headers))
      if (resolved(value).required)
        this.#t.not(reply.headers[header.toLowerCase()], undefined, `${name}: ${header}`)
    const type = reply.headers['content-type']?.split(';')[0] ?? ''
    const code = type === 'application/problem+json' ? ` ${JSON.parse(reply.text).code}` : ''
    this.seen.add(`${name}${code}`)
    if (content === undefined) return void this.#t.equal(reply.text, '', `${name}: no body`)
    const media = content[type]
    if (media === undefined) return void this.#t.fail(`${name}: ${type} is not described`)
    if (type.endsWith('json')) this.#fits(media.schema, JSON.parse(reply.text), `${name}${code}`)
  }

  #fits(schema: Json, value: unknown, name: string): void {
    const validate = compile(schema)
    this.#t.ok(validate(value), `${name} is as described: ${JSON.stringify(validate.errors)}`)
  }
}
