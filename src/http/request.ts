import type { HttpRequest } from 'uWebSockets.js'

/**
 * How a request delimits its body (RFC 9112 section 6.3). Ambiguous: two readers may see different
 * ends, so that what is a body to one is the next request to the other.
 */
export type BodyFraming = 'none' | 'length' | 'chunked' | 'ambiguous'

/** The fields of a request that are read; '' if absent. */
class Fields {
  host = ''
  origin = ''
  authorization = ''
  contentType = ''
  contentLength = ''
  transferEncoding = ''
  upgrade = ''
  webSocketKey = ''
  webSocketVersion = ''

  // Lists (RFC 9110 section 5.3): several lines are joined by commas.
  connection = ''
  webSocketProtocol = ''
  webSocketExtensions = ''
  forwardedFor = ''
  forwardedProto = ''
  forwardedHost = ''
  forwarded = ''
  requestId = ''
  traceParent = ''
}

interface Field {
  readonly name: string
  readonly property: keyof Fields
  /** One bit of a number. */
  readonly bit: number
  readonly isList: boolean
}

let fieldCount = 0
const field = (name: string, property: keyof Fields, isList: boolean): Field => ({
  name,
  property,
  bit: 1 << fieldCount++,
  isList,
})
const single = (name: string, property: keyof Fields): Field => field(name, property, false)
const list = (name: string, property: keyof Fields): Field => field(name, property, true)

const fields: readonly Field[] = [
  single('host', 'host'),
  single('origin', 'origin'),
  single('authorization', 'authorization'),
  single('content-type', 'contentType'),
  single('content-length', 'contentLength'),
  single('transfer-encoding', 'transferEncoding'),
  single('upgrade', 'upgrade'),
  single('sec-websocket-key', 'webSocketKey'),
  single('sec-websocket-version', 'webSocketVersion'),
  list('connection', 'connection'),
  list('sec-websocket-protocol', 'webSocketProtocol'),
  list('sec-websocket-extensions', 'webSocketExtensions'),
  list('x-forwarded-for', 'forwardedFor'),
  list('x-forwarded-proto', 'forwardedProto'),
  list('x-forwarded-host', 'forwardedHost'),
  list('forwarded', 'forwarded'),
  // Two of them are not refused, but give no id.
  list('x-request-id', 'requestId'),
  list('traceparent', 'traceParent'),
]

/** The original URI, according to proxies. Each line is a value. */
const uriFields = ['x-original-uri', 'x-forwarded-uri']
const noUris: readonly string[] = []
const noHeaders: ReadonlyMap<string, string> = new Map()

/** The fields by the length of their name: comparing is cheaper than looking up. */
const fieldsByLength: readonly (readonly Field[])[] = Array.from({ length: 32 }, (_, length) =>
  fields.filter(({ name }) => name.length === length),
)

const bitOf = (property: keyof Fields): number => fields.find(each => each.property === property)?.bit ?? 0
const lengthBit = bitOf('contentLength')
const encodingBit = bitOf('transferEncoding')

/** A plain snapshot of the head of a uWS request, which is dead once its handler returns. */
export class RequestHead extends Fields {
  readonly method: string
  readonly path: string
  /** Raw, without `?`. */
  readonly query: string
  /** Each line of `X-Original-URI` and `X-Forwarded-Uri`. */
  originalUris: readonly string[] = noUris
  /** Further fields, for a route that reads them; several lines are one. */
  headers: ReadonlyMap<string, string> = noHeaders
  #seen = 0
  #repeated = 0

  static #reading: RequestHead

  static readonly #read = (name: string, value: string): void => {
    for (const { name: known, property, bit, isList } of fieldsByLength[name.length] ?? []) {
      if (name !== known) continue
      const head = RequestHead.#reading
      if ((head.#seen & bit) === 0) head[property] = value
      else if (isList) head[property] += `,${value}`
      else head.#repeated |= bit
      head.#seen |= bit
      return
    }
    if (!uriFields.includes(name)) return
    const head = RequestHead.#reading
    head.originalUris = [...head.originalUris, value]
  }

  /**
   * @param known matched by uWS already
   * @param known.method in lower case
   * @param known.headers further fields to read
   */
  constructor(
    req: HttpRequest,
    {
      method,
      path,
      headers,
    }: { readonly method?: string; readonly path?: string; readonly headers?: ReadonlySet<string> } = {},
  ) {
    super()
    this.method = method ?? req.getMethod()
    this.path = path ?? req.getUrl()
    // uWS returns undefined if there is no query, despite its types.
    this.query = (req.getQuery() as string | undefined) ?? ''
    RequestHead.#reading = this
    req.forEach(RequestHead.#read)
    if (headers !== undefined) this.headers = fieldsOf(req, headers)
  }

  /** The name of a single-line field that came in two lines. Undefined if there is none. */
  get repeated(): string | undefined {
    return this.#repeated === 0 ? undefined : fields.find(({ bit }) => (this.#repeated & bit) !== 0)?.name
  }

  get body(): BodyFraming {
    const framing = this.#seen & (lengthBit | encodingBit)
    if (framing === 0) return 'none'
    // Present but empty counts: uWS then reads no body, but a proxy may have read another line.
    if ((this.#repeated & framing) !== 0 || framing === (lengthBit | encodingBit)) return 'ambiguous'
    if (framing === encodingBit)
      return this.transferEncoding.toLowerCase() === 'chunked' ? 'chunked' : 'ambiguous'
    if (!/^\d{1,15}$/.test(this.contentLength)) return 'ambiguous'
    return Number(this.contentLength) > 0 ? 'length' : 'none'
  }
}

/** Fields by name, with several lines joined; cookies as in RFC 6265 section 5.4. */
function fieldsOf(req: HttpRequest, names: ReadonlySet<string>): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  req.forEach((name, value) => {
    if (!names.has(name)) return
    const before = found.get(name)
    const separator = name === 'cookie' ? '; ' : ', '
    found.set(name, before === undefined ? value : before + separator + value)
  })
  return found
}

/**
 * The raw values of a query parameter, undecoded. A percent-encoded name is a different name: no
 * name that is read here needs encoding.
 */
export function queryValues(query: string, name: string): string[] {
  const values: string[] = []
  for (let start = 0; start < query.length; ) {
    const ampersand = query.indexOf('&', start)
    const end = ampersand < 0 ? query.length : ampersand
    if (query.startsWith(name, start)) {
      const after = start + name.length
      if (after === end) values.push('')
      else if (after < end && query[after] === '=') values.push(query.slice(after + 1, end))
    }
    start = end + 1
  }
  return values
}

const requestIds = /^[\w.:/+=@-]{1,128}$/
// W3C Trace Context, section 3.2: version, trace, parent, flags.
const traceParents = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/

/** The id of a request: `X-Request-Id`, or else its trace. Undefined without either. */
export const requestIdOf = ({ requestId, traceParent }: RequestHead): string | undefined =>
  requestIds.test(requestId) ? requestId : traceParents.exec(traceParent)?.[1]
