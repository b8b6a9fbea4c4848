import { fileURLToPath } from 'node:url'

/** Where Go keeps what it has compiled: its standard library, above all, once for all tests. */
export const goCache = fileURLToPath(new URL('../../.tap/go-cache', import.meta.url))
