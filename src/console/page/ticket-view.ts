import { hexOf, type TicketLayout } from '../ticket-layout.js'
import { byId, make } from './dom.js'

/** A ticket byte by byte: a strip with one cell per byte, and a table with one row per field. */
export function showTicket({ node, fields, claims }: TicketLayout): void {
  byId('bytes', HTMLDetailsElement).hidden = false
  byId('strip', HTMLDivElement).replaceChildren(
    ...fields.flatMap(({ name, bytes }) =>
      Array.from(bytes, () => make('i', { 'data-field': name, title: name })),
    ),
  )
  const rows = fields.map(({ name, offset, bytes, value }) =>
    make(
      'tr',
      {},
      make('td', { class: 'at' }, String(offset)),
      make('th', { scope: 'row' }, make('span', { class: 'tag', 'data-field': name }, name)),
      make('td', { class: 'hex' }, hexOf(bytes)),
      make(
        'td',
        {},
        value,
        ...(name === 'claims'
          ? claims.map(claim =>
              make('span', { class: 'claim' }, make('b', {}, `${claim.key} ${claim.meaning}: `), claim.value),
            )
          : []),
      ),
    ),
  )
  const body = byId('layout', HTMLTableElement).tBodies[0]
  body?.replaceChildren(
    ...rows,
    ...(node === undefined
      ? []
      : [make('tr', {}, make('td'), make('th', { scope: 'row' }, 'node'), make('td', {}, node), make('td'))]),
  )
}
