import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

interface Source {
  readonly host: string
  readonly port: number
  /** With it, over TLS. */
  readonly tls?: { readonly ca: string }
  tokens(count: number): string[]
}

const dial = async ({ host, port, tls }: Source): Promise<Socket> => {
  const socket = tls === undefined ? connect(port, host) : connectTls({ host, port, ca: tls.ca })
  await once(socket, tls === undefined ? 'connect' : 'secureConnect')
  return socket.setNoDelay().setEncoding('latin1')
}

/** Gets tickets over keep-alive connections, with several requests in flight on each. */
export const takeTickets = async (
  source: Source,
  count: number,
  inFlight: number,
  connections = 8,
): Promise<string[]> => {
  const [token = ''] = source.tokens(1)
  const request = `GET /ws_ticket HTTP/1.1\r\nHost: ${source.host}:${source.port}\r\nAuthorization: Bearer ${token}\r\n\r\n`
  const tickets: string[] = []
  let unasked = count

  const take = async (): Promise<void> => {
    const socket = await dial(source)
    let text = ''
    let due = 0
    const ask = (): void => {
      const size = Math.min(unasked, inFlight - due)
      unasked -= size
      due += size
      if (size > 0) socket.write(request.repeat(size))
    }
    ask()
    while (due > 0) {
      text += (await once(socket, 'data', { signal: AbortSignal.timeout(15_000) }))[0]
      const answers = text.split('HTTP/1.1 ').slice(1)
      const taken = answers.filter(answer => /"ticket":"[^"]+"[^}]*\}/.test(answer))
      const refused = answers.find(answer => answer.length > 3 && !answer.startsWith('200 '))
      if (refused !== undefined) throw new Error(`/ws_ticket answered ${refused.replaceAll('\r\n', ' ')}`)
      if (taken.length === 0) continue
      for (const answer of taken) tickets.push(/"ticket":"([^"]+)"/.exec(answer)?.[1] ?? '')
      due -= taken.length
      text =
        taken.length === answers.length ? '' : `HTTP/1.1 ${answers.slice(taken.length).join('HTTP/1.1 ')}`
      ask()
    }
    socket.destroy()
  }

  await Promise.all(Array.from({ length: Math.min(connections, count) }, take))
  return tickets
}
