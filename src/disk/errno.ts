/** Returns the `code` of a system error, such as `ENOENT`. Rethrows any other error. */
export function errnoOf(error: unknown): string {
  if (isSystemError(error)) return error.code
  throw error
}

export function isSystemError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && 'errno' in error && 'code' in error && typeof error.code === 'string'
}

/** Whether an error means that the process, or the system, has no file descriptors left. */
export const meansExhausted = (error: unknown): boolean =>
  isSystemError(error) && (error.code === 'EMFILE' || error.code === 'ENFILE')
