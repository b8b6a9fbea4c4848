import { existsSync } from 'node:fs'
import t from 'tap'
import { pages, readPage } from './markdown.js'

/** Text is not run. The protocol and the ticket format have languages of their own, with tests. */
const needsNone = /^(text|wire|first|notice|msgpack|hex)$/

const form = 'Put <!-- run: FILE[, FILE…] --> or <!-- not run: WHY --> on the line before the block.'

t.test('every block of code is run by a test, or says why not', async t => {
  for (const page of pages) {
    const lines = readPage(page).split('\n')
    let isOpen = false
    for (const [index, line] of lines.entries()) {
      const language = /^```(.*)$/.exec(line.trim())?.[1]
      if (language === undefined) continue
      isOpen = !isOpen
      if (!isOpen || needsNone.test(language)) continue
      const where = `${page}:${index + 1}`
      const [, verb, what = ''] = /^<!-- (run|not run): (.+) -->$/.exec(lines[index - 1]?.trim() ?? '') ?? []
      t.ok(verb, `${where}: ${form}`)
      if (verb === 'run') for (const file of what.split(', ')) t.ok(existsSync(file), `${where}: ${file}`)
    }
  }
})
