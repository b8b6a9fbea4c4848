import type { HttpResponse } from 'uWebSockets.js'

// A longer body may have to wait for its reader.
const smallBodyBytes = 8192

const nothing = (): void => {}

/**
 * Ends an answer with its body; and the connection, where what was answered before is not read and would pile up here.
 *
 * Who sends many requests and reads nothing can bring uWS to drop a body: where its buffer of 16 KB for one turn overflows
 * at the moment at which the connection takes no more. It then takes the handler for one that has forgotten to answer, and
 * ends the process, unless somebody listens to an abort. `tryEnd` tells of both.
 *
 * @param closes whether the connection ends with this answer
 */
export function endAnswer(res: HttpResponse, body: string, closes = false): void {
  if (closes || body.length > smallBodyBytes) {
    res.onAborted(nothing)
    res.end(body, closes)
    return
  }
  const [isSent] = res.tryEnd(body, Buffer.byteLength(body))
  if (!isSent) res.close()
}
