import { existsSync } from 'node:fs'
import t from 'tap'
import { pages, readPage } from './markdown.js'

/** Plain text is not run. Examples of the protocol and the ticket format have their own tests. */
const needsNone = /^(text|wire|first|notice|msgpack|hex)$/

const form = 'Put <!-- run: FILE[, FILE…] --> or <!-- not run: WHY --> on the line before the block.'

t.test('every code block names a test that runs it, or says why it is not run', async t => {
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
