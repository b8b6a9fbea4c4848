import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** A document by its path from the root of the repository. */
export const readPage = (path: string): string => readFileSync(join(root, path), 'utf8')

/**
 * The paths of all documents: those at the top, under docs and examples, and beside the sources.
 */
export const pages: readonly string[] = [
  ...readdirSync(root).filter(name => name.endsWith('.md')),
  ...['docs', 'examples', 'src'].flatMap(directory =>
    readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
      .filter(name => name.endsWith('.md') && !name.includes('node_modules'))
      .map(name => `${directory}/${name}`),
  ),
]

/** The contents of the fenced code blocks of a language, in order. */
export const codeBlocks = (markdown: string, language: string): string[] =>
  [...markdown.matchAll(/^```(\S*)\n([\s\S]*?)\n```$/gm)].flatMap(([, name, content = '']) =>
    name === language ? [content] : [],
  )

/** The trimmed text between `<!-- name -->` and `<!-- /name -->`, or '' if there is none. */
export const between = (markdown: string, name: string): string =>
  new RegExp(`<!-- ${name} -->([\\s\\S]*?)<!-- /${name} -->`).exec(markdown)?.[1]?.trim() ?? ''

/**
 * The rows of the first table after `heading`, without its two header lines, each as its trimmed
 * cells.
 */
export function tableUnder(markdown: string, heading: string): string[][] {
  const start = markdown.indexOf(`\n${heading}\n`)
  if (start < 0) throw new Error(`there is no heading ${heading}`)
  const lines = markdown.slice(start).split('\n')
  const first = lines.findIndex(line => line.startsWith('|'))
  const end = lines.findIndex((line, index) => index > first && !line.startsWith('|'))
  return rowsOf(lines.slice(first, end < 0 ? undefined : end).join('\n'))
}

/** The rows of a table, without its two header lines, each as its trimmed cells. */
export const rowsOf = (table: string): string[][] =>
  table
    .split('\n')
    .slice(2)
    .map(line =>
      line
        .slice(1, -1)
        .split('|')
        .map(cell => cell.trim()),
    )
