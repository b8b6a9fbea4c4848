import type { Test } from 'tap'
import type { Json, Reply } from './http.js'

const parse = (text: string): Json => {
  try {
    return JSON.parse(text) as Json
  } catch {
    return { unparsable: text }
  }
}

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''

/**
 * Asserts that a reply is the named refusal, `'401 ticket_used'`, in every member of RFC 9457 and
 * in its type.
 */
export const isProblem = (
  t: Test,
  reply: Pick<Reply, 'status' | 'text'> & { headers: object },
  expected: string,
  name = expected,
): boolean => {
  const body = parse(reply.text)
  const [status, code] = expected.split(' ')
  const headers = reply.headers as Record<string, unknown>
  return t.strictSame(
    {
      answer: `${reply.status} ${String(body.code ?? reply.text)}`,
      contentType: String(headers['content-type']).split(';')[0],
      status: body.status,
      members: Object.keys(body).sort(),
      texts: [body.type, body.title, body.detail].map(isText),
    },
    {
      answer: `${status} ${code}`,
      contentType: 'application/problem+json',
      status: Number(status),
      members: ['code', 'detail', 'status', 'title', 'type'],
      texts: [true, true, true],
    },
    name,
  )
}

/** Asserts a `Retry-After` in whole seconds within bounds. */
export const hasRetryAfter = (
  t: Test,
  reply: { headers: object },
  name: string,
  maxSeconds = 60,
): boolean => {
  const value = String((reply.headers as Record<string, unknown>)['retry-after'])
  return t.ok(
    /^[0-9]+$/.test(value) && Number(value) >= 1 && Number(value) <= maxSeconds,
    `${name}: Retry-After ${value}`,
  )
}
