export interface Reply {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

/**
 * Asks the server that this page came from. A reply that is no JSON object counts as an empty one.
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

/** What stands for the reply if there is none. */
export const noReply = (): Reply => ({ status: 0, body: {} })

/** A refusal in one line: status, code and detail of its problem+json. */
export const refusalText = ({ status, body }: Reply): string =>
  status === 0
    ? 'no reply: is the server running?'
    : `${status} ${String(body.code ?? '')}: ${String(body.detail ?? 'no detail')}`
