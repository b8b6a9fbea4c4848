import type { HttpRequest, HttpResponse, us_socket_context_t } from 'uWebSockets.js'
import type { Refusal } from '../errors.js'
import { type Address, normalize } from '../ticket/address.js'
import { type Answer, writeHead } from './answer.js'
import { BodyReader } from './body-reader.js'
import { RequestHead } from './request.js'

const nothing = (): void => {}
const nowhere: Address = new Uint8Array()

// One in so many, at random: a client that could count them would have the last ones fall where they change nothing.
const bodilessUntilClose = 64

/**
 * Whether an answer without a body ends the connection, though nothing asks for it. Whether the client reads
 * its answers cannot be told from these, so every so often one is the last: nothing piles up for long.
 */
const isLastBodiless = (): boolean => Math.random() * bodilessUntilClose < 1

/** What a uWS handler is given; the last for `upgrade` alone. */
export type EngineHandler = (res: HttpResponse, req: HttpRequest, context?: us_socket_context_t) => void

/** What goes on in a response after its head. To be used in a turn of the event loop of its own. */
export interface ResponseStream {
  /** False if the connection takes no more for now: what was written is sent as soon as it does. */
  write(piece: string | Uint8Array): boolean
  /** Ends the response. */
  end(): void
}

/** Told what becomes of a stream. */
export interface StreamListener {
  /** The connection takes more again. */
  drained(): void
  /** The client has gone. */
  gone(): void
}

/** What is known of a request by its route. */
export interface Routed {
  /** What uWS has matched need not be read again. */
  readonly method?: string
  readonly path?: string
  /** Further fields that are read, in lower case. */
  readonly headers?: ReadonlySet<string>
}

/**
 * One request and its answer. Nothing else holds a uWS response.
 *
 * uWS calls us from within its parser, which continues in freed memory if the connection was closed. It
 * checks for that only after the handler of a request, not after a piece of a body. Code after an `await`
 * does not escape: Node runs it when the callback ends, with uWS still on the stack. So an answer is written
 * in one of two places: in the handler of its own request, or in an event loop turn of its own.
 */
export class Exchange {
  readonly head: RequestHead
  readonly #res: HttpResponse
  readonly #context: us_socket_context_t | undefined
  /** Where we are, if an answer may be written here; undefined: it has to wait for a turn of its own. */
  #place: 'handler' | 'turn' | undefined = 'handler'
  /** Answered, closed, or aborted by the client: the response must not be used any more. */
  #isOver = false
  readonly #isStrict: boolean
  #reader: BodyReader | undefined
  #stream: StreamListener | undefined

  private constructor(
    res: HttpResponse,
    head: RequestHead,
    context: us_socket_context_t | undefined,
    isStrict: boolean,
  ) {
    this.#res = res
    this.#isStrict = isStrict
    this.head = head
    this.#context = context
  }

  /**
   * Makes a uWS handler.
   * @param isRefused asked first, before anything is read: the connection is closed then
   * @param handle answers, or sees to it that there will be an answer
   * @param isStrict whether the answers tell browsers to come by TLS only
   */
  static handler(
    isRefused: () => boolean,
    handle: (exchange: Exchange) => void,
    routed?: Routed,
    isStrict = false,
  ): EngineHandler {
    return (res, req, context) => {
      if (isRefused()) return void res.close()
      const exchange = new Exchange(res, new RequestHead(req, routed), context, isStrict)
      try {
        handle(exchange)
      } finally {
        exchange.#leave()
      }
    }
  }

  /** The address of the peer, empty where that has reset the connection. To be asked for in the handler. */
  peer(): Address {
    return normalize(new Uint8Array(this.#res.getRemoteAddress()).slice())
  }

  /** The address that a PROXY header has named, empty where there was none. To be asked for in the handler. */
  proxied(): Address {
    const named = this.#res.getProxiedRemoteAddress()
    return named.byteLength === 0 ? nowhere : normalize(new Uint8Array(named).slice())
  }

  /** Answers at once if that is safe, else in a turn of its own. Does nothing once the connection has ended. */
  answer(answer: Answer): void {
    if (this.#isOver) return
    if (this.#place === 'handler') this.#write(answer)
    else if (this.#place === 'turn') this.#res.cork(() => this.#write(answer))
    else this.inOwnTurn(() => this.answer(answer))
  }

  /**
   * Answers with what goes on until one of the two ends it. To be called in a turn of its own. uWS closes
   * a connection that takes nothing for 10 s while something waits for it; else there is no limit of time.
   * @param answer without its body
   * @param begin given the response; does nothing with it yet
   */
  stream(answer: Answer, begin: (stream: ResponseStream) => StreamListener): void {
    if (this.#isOver) return
    const res = this.#res
    this.#stream = begin({
      write: piece => !this.#isOver && this.#writeMore(piece),
      end: () => {
        if (this.#isOver) return
        this.#isOver = true
        res.cork(() => res.end())
      },
    })
    res.cork(() => writeHead(res, answer, this.#isStrict))
    res.onWritable(() => {
      this.inOwnTurn(() => this.#stream?.drained())
      return true
    })
    this.#stream.drained()
  }

  /**
   * Accepts the handshake. To be called in the handler or in a turn of its own.
   * @throws Error elsewhere, and where uWS has not handed the request to the handler for upgrades
   */
  upgrade<Data>(data: Data, protocol: string, extensions: string): void {
    const context = this.#context
    if (context === undefined || this.#place === undefined || this.#isOver)
      throw new Error('no handshake can be accepted here')
    const upgrade = (): void => {
      this.#isOver = true
      this.#res.upgrade<Data>(data, this.head.webSocketKey, protocol, extensions, context)
    }
    if (this.#place === 'handler') upgrade()
    else this.#res.cork(upgrade)
  }

  /**
   * Runs `act` in a turn of its own, where it may answer or upgrade.
   * @param gone runs in its place if the connection has ended before
   */
  inOwnTurn(act: () => void, gone: () => void = nothing): void {
    setImmediate(() => {
      if (this.#isOver) return gone()
      this.#place = 'turn'
      try {
        act()
      } finally {
        this.#place = undefined
      }
    })
  }

  /**
   * Reads the body. To be called in the handler.
   * @param done called in a turn of its own, unless the connection ends before: with the body; or with a
   *   refusal where it is too long or comes in too many pieces, after what is left of it was thrown away.
   *   A body that is too slow closes its connection
   */
  readBody(maxBytes: number, done: (body: Buffer | Refusal) => void): void {
    this.#read(new BodyReader(maxBytes, this.#bodyEnds(done)))
  }

  /** Throws the body away, within limits of size and time, before the request is refused. */
  discardBody(refusal: Refusal, done: () => void): void {
    this.#read(new BodyReader(0, this.#bodyEnds(done), refusal))
  }

  #bodyEnds(done: (body: Buffer | Refusal) => void) {
    return {
      done: (body: Buffer | Refusal) => this.inOwnTurn(() => done(body)),
      late: () => this.inOwnTurn(() => this.#close()),
    }
  }

  #read(reader: BodyReader): void {
    this.#reader = reader
    this.#res.onData((piece, isLast) => reader.take(piece, isLast))
  }

  #close(): void {
    this.#isOver = true
    this.#res.close()
  }

  /** The handler returns. uWS ends the process for one that has neither answered nor listens to an abort. */
  #leave(): void {
    this.#place = undefined
    if (!this.#isOver) this.#listen()
  }

  #listen(): void {
    this.#res.onAborted(() => {
      this.#isOver = true
      this.#reader?.cancel()
      this.#stream?.gone()
    })
  }

  #writeMore(piece: string | Uint8Array): boolean {
    let isTaken = false
    this.#res.cork(() => {
      isTaken = this.#res.write(piece)
    })
    return isTaken
  }

  #write(answer: Answer): void {
    writeHead(this.#res, answer, this.#isStrict)
    const { body, closes = false } = answer
    if (body === undefined) this.#endBodiless(closes)
    else if (this.head.method === 'head') this.#endHead(Buffer.byteLength(body), closes)
    else if (closes) this.#endLast(body)
    else this.#end(body)
  }

  /**
   * Ends an answer with its body; and the connection, where what was answered before is not read and would
   * pile up here.
   *
   * A client that sends many requests and reads nothing can bring uWS to drop a body: where its buffer of
   * 16 KB for one turn overflows at the moment at which the connection takes no more. It then takes the
   * handler for one that has forgotten to answer. `tryEnd` tells of both.
   */
  #end(body: string): void {
    const res = this.#res
    const size = Buffer.byteLength(body)
    this.#isOver = res.tryEnd(body, size)[1]
    if (this.#isOver) return
    // Nothing of it could be written: others wait before it.
    if (res.getWriteOffset() === 0) return this.inOwnTurn(() => this.#close())
    const bytes = Buffer.from(body)
    res.onWritable(() => {
      this.inOwnTurn(() => this.#sendRest(bytes))
      return true
    })
  }

  #sendRest(bytes: Buffer): void {
    const res = this.#res
    res.cork(() => {
      this.#isOver = res.tryEnd(bytes.subarray(res.getWriteOffset()), bytes.length)[1]
    })
  }

  /** Ends an answer, and then the connection. */
  #endLast(body: string): void {
    this.#prepareLast()
    this.#res.end(body, true)
  }

  /** Ends an answer to HEAD: `length` is that of the body which GET would get. */
  #endHead(length: number, closes: boolean): void {
    const res = this.#res
    if (closes || isLastBodiless()) {
      res.pause()
      // uWS waits for the body now, so the connection is closed by us.
      res.writeHeader('connection', 'close').tryEnd('', length)
      return this.inOwnTurn(() => this.#close())
    }
    this.#isOver = true
    // Told to uWS instead, it would count the body as still to come where the connection takes no more.
    res.writeHeader('content-length', String(length)).endWithoutBody()
  }

  #endBodiless(closes: boolean): void {
    if (closes || isLastBodiless()) return this.#endLast('')
    this.#isOver = true
    this.#res.endWithoutBody()
  }

  /**
   * uWS forgets that the connection ends where another request is there already, and where the answers
   * before are not read: then nothing more is read of it, until its time runs out.
   */
  #prepareLast(): void {
    this.#res.pause()
    if (this.#place === 'handler') this.#res.onAborted(nothing)
    this.#isOver = true
  }
}
