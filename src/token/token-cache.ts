const marks = 1 << 14

/**
 * Notes which tokens were here before, as far as a small table can tell. To keep a token costs a third
 * of what it takes to verify an HMAC, mostly in the garbage collector, and many a token comes once.
 */
export class SeenTokens {
  readonly #marks = new Int32Array(marks)

  /** Whether the token was seen before; now it was. */
  see(token: string): boolean {
    // The end of the signature, which is as good as random.
    let mark = 0
    for (let at = token.length - 12; at < token.length; at++)
      mark = (Math.imul(mark, 31) + token.charCodeAt(at)) | 0
    const slot = mark & (marks - 1)
    const isKnown = this.#marks[slot] === mark
    this.#marks[slot] = mark
    return isKnown
  }
}
