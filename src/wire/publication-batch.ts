import type { EncodingName } from '../protocol.js'
import type { Publication } from './relay.js'

/** The data of a batch: larger data is handed over by itself. */
export const maxBatchBytes = 64 * 1024

/** So many are handed over before the turn ends, so that other threads need not wait for a long turn. */
const enough = 128

/** Publications in columns: cloning a few arrays takes a tenth of the time of as many objects. */
export interface PackedPublications {
  readonly channels: readonly string[]
  readonly encodings: readonly EncodingName[]
  readonly users: readonly (string | undefined)[]
  /** Where the data of each ends in `bytes`. */
  readonly ends: readonly number[]
  readonly bytes: Uint8Array
}

/**
 * Publications that are handed over together at the end of a turn of the event loop, because each
 * message between threads costs several times as much as a publication.
 */
export class PublicationBatch {
  readonly #send: (publications: PackedPublications) => void
  readonly #bytes = Buffer.allocUnsafeSlow(maxBatchBytes)
  #size = 0
  #publications: Omit<Publication, 'data'>[] = []
  #ends: number[] = []

  constructor(send: (publications: PackedPublications) => void) {
    this.#send = send
  }

  /** Adds a publication. Its data is copied. */
  add(publication: Publication): void {
    const { data } = publication
    if (this.#size + data.length > maxBatchBytes) this.flush()
    if (data.length > maxBatchBytes) return this.#hand([publication], [data.length], new Uint8Array(data))
    if (this.#ends.length === 0) setImmediate(() => this.flush())
    this.#bytes.set(data, this.#size)
    this.#size += data.length
    this.#publications.push(publication)
    this.#ends.push(this.#size)
    if (this.#ends.length === enough) this.flush()
  }

  /** Hands over everything added so far. */
  flush(): void {
    if (this.#ends.length === 0) return
    const [publications, ends] = [this.#publications, this.#ends]
    const bytes = new Uint8Array(this.#bytes.subarray(0, this.#size))
    this.#publications = []
    this.#ends = []
    this.#size = 0
    this.#hand(publications, ends, bytes)
  }

  #hand(
    publications: readonly Omit<Publication, 'data'>[],
    ends: readonly number[],
    bytes: Uint8Array,
  ): void {
    this.#send({
      channels: publications.map(({ channel }) => channel),
      encodings: publications.map(({ encoding }) => encoding),
      users: publications.map(({ user }) => user),
      ends,
      bytes,
    })
  }
}

/** Calls back for each publication, in order. Its data is a view of `bytes`. */
export function eachPublication(
  { channels, encodings, users, ends, bytes }: PackedPublications,
  receive: (publication: Publication) => void,
): void {
  let start = 0
  for (const [index, end] of ends.entries()) {
    const [channel = '', encoding = 'json', user] = [channels[index], encodings[index], users[index]]
    const data = bytes.subarray(start, end)
    start = end
    receive({ type: 'publish', channel, encoding, data, ...(user !== undefined && { user }) })
  }
}
