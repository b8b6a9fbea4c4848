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
  if (closes) return endLast(res, body)
  const size = Buffer.byteLength(body)
  const [isSent] = res.tryEnd(body, size)
  if (isSent) return
  // Nothing of it could be written: others wait before it.
  if (res.getWriteOffset() === 0) return closeSoon(res)
  const bytes = Buffer.from(body)
  res.onAborted(nothing)
  res.onWritable(offset => res.tryEnd(bytes.subarray(offset), size)[0])
}

/** In a later turn: uWS goes on to use a connection that is closed while it hands over a body. */
function closeSoon(res: HttpResponse): void {
  let aborted = false
  res.onAborted(() => {
    aborted = true
  })
  setImmediate(() => {
    if (!aborted) res.close()
  })
}

// One in so many, at random: who could count them would have the last ones fall where they change nothing.
const bodilessUntilClose = 64

/**
 * Ends an answer that has no body. Whether the answers before are read can not be told then, so every so often the
 * connection ends with one: nothing piles up for long.
 *
 * @param closes whether the connection ends with this answer in any case
 * @param length of the body that GET would have got, in bytes, where this answers HEAD
 */
export function endBodiless(res: HttpResponse, closes = false, length?: number): void {
  // Told to uWS instead, it would count the body as still to come where the connection takes no more.
  if (length !== undefined) res.writeHeader('content-length', String(length))
  const isLast = closes || Math.random() * bodilessUntilClose < 1
  if (!isLast) return void res.endWithoutBody()
  res.pause()
  res.onAborted(nothing)
  res.endWithoutBody(undefined, true)
}

/**
 * Ends an answer, and then the connection. uWS forgets the latter where another request is there already, and where the
 * answers before are not read: then nothing more is read of it, until its time runs out.
 */
function endLast(res: HttpResponse, body: string): void {
  res.pause()
  res.onAborted(nothing)
  res.end(body, true)
}
