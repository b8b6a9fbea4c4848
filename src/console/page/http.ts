export interface Reply {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

/**
 * Sends a request to the server of this page. A reply that is not a JSON object counts as empty.
 */
export async function ask(
  method: 'GET' | 'POST',
  path: string,
  { token, json }: { token?: string; json?: object } = {},
): Promise<Reply> {
  const reply = await fetch(path, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
  })
  const body: unknown = await reply.json().catch(() => ({}))
  return { status: reply.status, body: typeof body === 'object' && body !== null ? { ...body } : {} }
}

/** Stands in for the reply if there is none. */
export const noReply = (): Reply => ({ status: 0, body: {} })

/** A refusal in one line: status, code and detail of its problem+json. */
export const refusalText = ({ status, body }: Reply): string =>
  status === 0
    ? 'no reply: is the server running?'
    : `${status} ${String(body.code ?? '')}: ${String(body.detail ?? 'no detail')}`
