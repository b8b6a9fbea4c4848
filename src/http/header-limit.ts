const variable = 'UWS_HTTP_MAX_HEADERS_SIZE'

/** What the headers of a request may take beside a token: cookies above all. */
export const otherHeaderBytes = 8192

/**
 * Makes uWebSockets.js accept headers that hold a token of this size. It reads the variable when
 * its binary is loaded, once for all threads of the process, so this comes before the first import
 * of it. A larger limit that the operator has set stays.
 */
export function raiseHeaderLimit(maxTokenBytes: number): void {
  const bytes = Math.max(Number(process.env[variable]) || 0, maxTokenBytes + otherHeaderBytes)
  process.env[variable] = String(bytes)
}
