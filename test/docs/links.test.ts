import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { pages, readPage } from './markdown.js'

const root = new URL('../../', import.meta.url)

/** The anchors of headings, as GitHub makes them. */
const anchorsOf = (markdown: string): Set<string> =>
  new Set(
    [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    ),
  )

t.test('links within the repository have a target', async t => {
  t.ok(pages.includes('README.md') && pages.includes('docs/security.md'))
  for (const page of pages) {
    for (const [, target = ''] of readPage(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (target.startsWith('https://')) continue
      const url = new URL(target, new URL(page, root))
      const anchor = url.hash.slice(1)
      url.hash = ''
      t.ok(existsSync(url), `${page}: ${target}`)
      if (anchor !== '') t.ok(anchorsOf(readFileSync(url, 'utf8')).has(anchor), `${page}: ${target}`)
    }
  }
})

t.test('the front page is short and links to every page of docs', async t => {
  const readme = readPage('README.md')
  t.ok(readme.split('\n').length <= 250)
  for (const page of pages.filter(page => page.startsWith('docs/'))) t.ok(readme.includes(`](${page})`), page)
})
