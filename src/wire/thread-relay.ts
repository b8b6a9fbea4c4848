import { BroadcastChannel } from 'node:worker_threads'
import { eachPublication, type PackedPublications, PublicationBatch } from './publication-batch.js'
import type { Publication, Relay } from './relay.js'

/** A relay between the threads of a gate. */
export class ThreadRelay implements Relay {
  readonly #channel: BroadcastChannel
  readonly #batch: PublicationBatch
  #isClosed = false

  /** @param name distinguishes gates in the same process */
  constructor(name: string) {
    this.#channel = new BroadcastChannel(name)
    this.#batch = new PublicationBatch(publications => this.#channel.postMessage(publications))
  }

  send(publication: Publication): void {
    if (!this.#isClosed) this.#batch.add(publication)
  }

  onMessage(receive: (publication: Publication) => void): void {
    this.#channel.onmessage = event =>
      eachPublication((event as { readonly data: PackedPublications }).data, receive)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#batch.flush()
    this.#channel.close()
  }
}
