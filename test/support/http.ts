import { randomBytes } from 'node:crypto'
import { type Agent, type IncomingHttpHeaders, type IncomingMessage, request as nodeRequest } from 'node:http'
import { request as secureRequest } from 'node:https'
import { adminKey } from './fixtures.js'

export type Json = Record<string, unknown>

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

export interface RequestOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string
  /** The local address to call from: any in 127/8. */
  readonly from?: string
  readonly agent?: Agent
}

export const jsonOf = (reply: Reply): Json => JSON.parse(reply.text) as Json

const textOf = async (response: IncomingMessage): Promise<string> => {
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += chunk
  return text
}

const send = (base: string, path: string, options: RequestOptions): Promise<Reply> =>
  new Promise((resolve, reject) => {
    const { protocol, hostname, port } = new URL(base)
    const body = options.body === undefined ? undefined : Buffer.from(options.body)
    const outgoing = (protocol === 'https:' ? secureRequest : nodeRequest)({
      rejectUnauthorized: false,
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port,
      path,
      method: options.method ?? 'GET',
      agent: options.agent ?? false,
      headers: {
        ...(body === undefined ? {} : { 'content-length': String(body.length) }),
        ...options.headers,
      } as Record<string, string | string[]>,
      ...(options.from === undefined ? {} : { localAddress: options.from }),
    })
    outgoing.once('error', reject)
    outgoing.once('upgrade', (response, socket) => {
      socket.on('error', () => {})
      socket.destroy()
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text: '' })
    })
    outgoing.once('response', response => {
      textOf(response).then(
        text => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        reject,
      )
    })
    outgoing.end(body)
  })

/**
 * Sends an HTTP request and returns the whole reply. An `https:` base uses TLS and accepts any
 * certificate. A body is sent with any method.
 */
export const request = (base: string, path: string, options: RequestOptions = {}): Promise<Reply> =>
  send(base, path, options)

export const postJson = (
  base: string,
  path: string,
  body: unknown,
  options: RequestOptions = {},
): Promise<Reply> =>
  send(base, path, {
    method: 'POST',
    ...options,
    headers: { 'content-type': 'application/json', ...options.headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

export const upgradeHeaders = (): Record<string, string> => ({
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': randomBytes(16).toString('base64'),
})

/** Requests an upgrade. Hangs up at once on a 101: only the response counts. */
export const requestUpgrade = (base: string, path: string, options: RequestOptions = {}): Promise<Reply> =>
  send(base, path, { ...options, headers: { ...upgradeHeaders(), ...options.headers } })

export const bearer = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` })

/** A short form of a reply: `'101'`, or a refusal such as `'401 ticket_used'`. */
export const outcomeOf = (reply: Pick<Reply, 'status' | 'text'> | undefined): string =>
  reply === undefined
    ? 'no answer'
    : reply.status === 101
      ? '101'
      : `${reply.status} ${JSON.parse(reply.text).code}`

/** The value of a metric by its whole name, with labels. 0 if it was never counted. */
export const metric = async ({ admin }: { readonly admin: string }, name: string): Promise<number> => {
  const { text } = await request(admin, '/metrics', { headers: bearer(adminKey) })
  const family = name.replace(/(_(bucket|sum|count))?(\{.*)?$/, '')
  if (!text.includes(`# TYPE ${family} `)) throw new Error(`there is no metric ${family}`)
  const line = text.split('\n').find(each => each.startsWith(`${name} `))
  return Number(line?.slice(name.length + 1) ?? 0)
}
