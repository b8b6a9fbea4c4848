import { App, us_socket_local_port } from 'uWebSockets.js'
import type { Test } from 'tap'
import { Exchange } from '../../src/http/exchange.js'
import { RawConnection } from './raw.js'

/** Starts a uWS server that responds with what `look` returns for an exchange, as JSON. */
export const startEcho = async (t: Test, look: (exchange: Exchange) => object): Promise<string> => {
  const app = App().any(
    '/*',
    Exchange.handler(
      () => false,
      // Closes the connection, so that no part of a body is read as another request.
      exchange => exchange.answer({ status: '200 OK', body: JSON.stringify(look(exchange)), closes: true }),
    ),
  )
  const port = await new Promise<number>(resolve => {
    app.listen('127.0.0.1', 0, socket => resolve(socket ? us_socket_local_port(socket) : 0))
  })
  t.teardown(() => app.close())
  return `http://127.0.0.1:${port}`
}

/** Sends raw lines. Returns what the server saw, or its status if that is not 200. */
export const echoOf = async <Seen>(
  base: string,
  line: string,
  fields: readonly string[],
  body = '',
): Promise<Seen | number> => {
  const connection = await RawConnection.connect(base)
  connection.write(`${[line, ...fields].join('\r\n')}\r\n\r\n${body}`)
  const response = await connection.response()
  connection.destroy()
  return response?.status === 200 ? (JSON.parse(response.text) as Seen) : (response?.status ?? 0)
}
