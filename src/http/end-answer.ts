import type { HttpResponse } from 'uWebSockets.js'

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
  if (closes) {
    res.onAborted(nothing)
    res.end(body, true)
    return
  }
  const size = Buffer.byteLength(body)
  const [isSent] = res.tryEnd(body, size)
  if (isSent) return
  // Nothing of it could be written: others wait before it.
  if (res.getWriteOffset() === 0) return void res.close()
  const bytes = Buffer.from(body)
  res.onAborted(nothing)
  res.onWritable(offset => res.tryEnd(bytes.subarray(offset), size)[0])
}

const bodilessUntilClose = 64
let bodiless = 0

/**
 * Ends an answer that has no body. Whether the answers before are read can not be told then, so every so often the
 * connection ends with one: nothing piles up for long.
 *
 * @param closes whether the connection ends with this answer in any case
 */
export function endBodiless(res: HttpResponse, closes = false): void {
  bodiless = (bodiless + 1) % bodilessUntilClose
  if (bodiless !== 0 && !closes) return void res.endWithoutBody()
  res.onAborted(nothing)
  res.end('', true)
}
