import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/** Fixed, so that tests can sign their own tokens. */
export const jwtSecret = 'wire-tests-sign-with-Vq3n8Zt1Lw6Xc9Rb2Md5Kf7'
export const adminKey = 'wire-tests-admin-Hs4Pq8Yn1'
export const allowedOrigin = 'https://example.com'

/** Creates a directory that is removed after the test. */
export const temporaryDirectory = (t: Test): string => {
  const path = mkdtempSync(join(tmpdir(), 'ticketgate-test-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}
