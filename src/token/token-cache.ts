const marks = 1 << 14

/**
 * Remembers which tokens were seen before, approximately, in a small table. Caching a token costs a
 * third of verifying an HMAC, mostly in the garbage collector, and many tokens come only once.
 */
export class SeenTokens {
  readonly #marks = new Int32Array(marks)

  /** Returns whether the token was seen before, and marks it as seen. */
  see(token: string): boolean {
    // The end of the signature is effectively random.
    let mark = 0
    for (let at = token.length - 12; at < token.length; at++)
      mark = (Math.imul(mark, 31) + token.charCodeAt(at)) | 0
    const slot = mark & (marks - 1)
    const isKnown = this.#marks[slot] === mark
    this.#marks[slot] = mark
    return isKnown
  }
}
