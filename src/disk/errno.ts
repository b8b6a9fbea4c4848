/** The `code` of a system error, such as `ENOENT`; anything else is thrown on. */
export function errnoOf(error: unknown): string {
  if (isSystemError(error)) return error.code
  throw error
}

export function isSystemError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && 'errno' in error && 'code' in error && typeof error.code === 'string'
}
