import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { consoleDocs } from '../console/docs.js'
import { StartupError } from '../errors.js'
import type { Reply } from '../http/server.js'

/** What the page asks its document. */
export interface PageFacts {
  /** Whether the server has logins of its own. If not, the page asks for a token. */
  readonly hasLogin: boolean
  /**
   * Where the admin listener is, if the page may act for the server's side; undefined in
   * production.
   */
  readonly adminUrl: string | undefined
  readonly hasDocs: boolean
}

/**
 * One document with its style and script inline. Its policy allows these two, by their hashes, and
 * nothing else.
 * @throws StartupError `console_missing` if the page was not built
 */
export function readPage({ hasLogin, adminUrl, hasDocs }: PageFacts): Reply {
  const style = readPart('page.css')
  const script = readPart('main.js')
  const body = readPart('page.html')
    .replace(
      '<body data-login="password" data-admin="">',
      () =>
        `<body data-login="${hasLogin ? 'password' : 'token'}" data-admin="${(adminUrl ?? '').replaceAll('"', '%22')}">`,
    )
    .replace(/<nav id="docs"[\s\S]*?<\/nav>/, links => (hasDocs ? links : ''))
    .replace('<style></style>', () => `<style>${style}</style>`)
    .replace('<script type="module"></script>', () => `<script type="module">${script}</script>`)
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(style)}`,
    "connect-src 'self'",
    // The icon in the page.
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ]
  return {
    contentType: 'text/html; charset=utf-8',
    headers: {
      'content-security-policy': policy.join('; '),
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    },
    body,
  }
}

/**
 * The pages of the documentation by their path, as they are. None if one is missing: a container
 * has none.
 */
export function readDocs(): ReadonlyMap<string, Reply> {
  try {
    return new Map(
      Object.entries(consoleDocs).map(([path, file]) => [
        path,
        {
          contentType: 'text/plain; charset=utf-8',
          headers: { 'content-security-policy': "default-src 'none'", 'x-content-type-options': 'nosniff' },
          body: readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8'),
        },
      ]),
    )
  } catch {
    return new Map()
  }
}

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

function readPart(name: string): string {
  const file = new URL(`../console/page/${name}`, import.meta.url)
  try {
    return readFileSync(file, 'utf8')
  } catch {
    throw new StartupError(
      'console_missing',
      `${file.pathname}: the console was not built: run npm run build, or set TICKETGATE_CONSOLE=off.`,
    )
  }
}
