import type { HttpRequest, HttpResponse, us_socket_context_t } from 'uWebSockets.js'
import type { Refusal } from '../errors.js'
import { type Address, normalize } from '../ticket/address.js'
import { type Answer, writeHead } from './answer.js'
import { BodyReader } from './body-reader.js'
import { upgradeLate } from './late-upgrade.js'
import { RequestHead } from './request.js'

const nothing = (): void => {}
const nowhere: Address = new Uint8Array()

// One response in this many, at random: a client that could count them could place the last ones
// where they change nothing.
const bodilessUntilClose = 64

/**
 * Whether a response without a body closes the connection. Such responses do not show whether the
 * client reads, so now and then one is the last, and nothing piles up for long.
 */
const isLastBodiless = (): boolean => Math.random() * bodilessUntilClose < 1

/** A uWS handler. Only `upgrade` gets the last argument. */
export type EngineHandler = (res: HttpResponse, req: HttpRequest, context?: us_socket_context_t) => void

/** A response that continues after its head. Use it in a separate turn of the event loop. */
export interface ResponseStream {
  /** Returns false if the connection is full: what was written is sent later. */
  write(piece: string | Uint8Array): boolean
  /** Ends the response. */
  end(): void
}

/** Receives what happens to a stream. */
export interface StreamListener {
  /** The connection accepts more again. */
  drained(): void
  /** The client has gone. */
  gone(): void
}

/** What the route of a request determines. */
export interface Routed {
  /** Matched by uWS already, so it need not be read. */
  readonly method?: string
  readonly path?: string
  /** Further fields to read, in lower case. */
  readonly headers?: ReadonlySet<string>
}

/**
 * One request and its response. Nothing else holds a uWS response.
 *
 * uWS calls handlers from within its parser, which continues in freed memory if the connection was
 * closed. It checks for that only after the handler of a request, not after a piece of a body. Code
 * after an `await` does not escape: Node runs it when the callback ends, with uWS still on the
 * stack. So a response is written in one of two places: in the handler of its own request, or in a
 * separate turn of the event loop.
 */
export class Exchange {
  readonly head: RequestHead
  readonly #res: HttpResponse
  readonly #context: us_socket_context_t | undefined
  /**
   * Where the code runs, if a response may be written there. Undefined: it must wait for a separate
   * turn.
   */
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
   * @param isRefused called first, before anything is read; if true, the connection is closed
   * @param handle responds, or ensures that there will be a response
   * @param isStrict whether responses carry HSTS
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

  /** The address of the peer; empty if it has reset the connection. Call it in the handler. */
  peer(): Address {
    return normalize(new Uint8Array(this.#res.getRemoteAddress()).slice())
  }

  /** The address in a PROXY header; empty if there was none. Call it in the handler. */
  proxied(): Address {
    const named = this.#res.getProxiedRemoteAddress()
    return named.byteLength === 0 ? nowhere : normalize(new Uint8Array(named).slice())
  }

  /**
   * Responds at once if that is safe, else in a separate turn. Does nothing if the connection has
   * ended.
   */
  answer(answer: Answer): void {
    if (this.#isOver) return
    if (this.#place === 'handler') this.#write(answer)
    else if (this.#place === 'turn') this.#res.cork(() => this.#write(answer))
    else this.inOwnTurn(() => this.answer(answer))
  }

  /**
   * Responds with a stream until either side ends it. Call it in a separate turn. uWS closes a
   * connection that accepts nothing for 10 s while something waits for it; otherwise there is no
   * time limit.
   * @param answer without its body
   * @param begin receives the stream, and must not use it yet
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
   * Accepts the handshake. Call it in the handler or in a separate turn.
   * @throws Error elsewhere, or if the request did not come to the handler for upgrades
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
    else upgradeLate(() => this.#res.cork(upgrade))
  }

  /**
   * Runs `act` in a separate turn, where it may respond or upgrade.
   * @param gone runs instead if the connection has ended
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
   * Reads the body. Call it in the handler.
   * @param done called in a separate turn, unless the connection ends before: with the body, or
   * with a refusal if it is too long or comes in too many pieces, after the rest was discarded. A
   * body that is too slow closes its connection
   */
  readBody(maxBytes: number, done: (body: Buffer | Refusal) => void): void {
    this.#read(new BodyReader(maxBytes, this.#bodyEnds(done)))
  }

  /** Discards the body, within limits of size and time, before the request is refused. */
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

  /**
   * Leaves the handler. uWS ends the process if a handler has neither responded nor registered for
   * aborts.
   */
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
   * Ends a response with its body. Closes the connection if earlier responses are not read and
   * would pile up here.
   *
   * A client that sends many requests and reads nothing can make uWS drop a body: if its buffer of
   * 16 KB per turn overflows just when the connection accepts no more. uWS then assumes that the
   * handler forgot to respond. `tryEnd` reports both.
   */
  #end(body: string): void {
    const res = this.#res
    const size = Buffer.byteLength(body)
    this.#isOver = res.tryEnd(body, size)[1]
    if (this.#isOver) return
    // Nothing of it could be written, because others wait before it.
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

  /** Ends a response and closes the connection. */
  #endLast(body: string): void {
    this.#prepareLast()
    this.#res.end(body, true)
  }

  /** Ends a response to HEAD: `length` is that of the body which GET would return. */
  #endHead(length: number, closes: boolean): void {
    const res = this.#res
    if (closes || isLastBodiless()) {
      res.pause()
      // uWS now waits for the body, so we close the connection.
      res.writeHeader('connection', 'close').tryEnd('', length)
      return this.inOwnTurn(() => this.#close())
    }
    this.#isOver = true
    // If uWS knew the length, it would expect the body even when the connection accepts no more.
    res.writeHeader('content-length', String(length)).endWithoutBody()
  }

  #endBodiless(closes: boolean): void {
    if (closes || isLastBodiless()) return this.#endLast('')
    this.#isOver = true
    this.#res.endWithoutBody()
  }

  /**
   * uWS forgets to close the connection if another request is there already and earlier responses
   * are unread. Then nothing more is read from it until it times out.
   */
  #prepareLast(): void {
    this.#res.pause()
    if (this.#place === 'handler') this.#res.onAborted(nothing)
    this.#isOver = true
  }
}
