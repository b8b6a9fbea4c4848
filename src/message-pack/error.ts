/** Thrown for bytes that do not match what the caller asked for, and for lack of room. */
export class MessagePackError extends Error {
  override readonly name = 'MessagePackError'
}
