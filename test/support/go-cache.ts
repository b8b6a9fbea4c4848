import { fileURLToPath } from 'node:url'

/** Go's build cache, shared by all tests so that the standard library is compiled only once. */
export const goCache = fileURLToPath(new URL('../../.tap/go-cache', import.meta.url))
