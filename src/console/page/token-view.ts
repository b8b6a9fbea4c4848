import { isJsonObject } from '../../protocol.js'
import { make } from './dom.js'

export interface Claims {
  readonly sub?: unknown
  readonly sid?: unknown
  readonly exp?: number
}

/**
 * Returns the claims of a JWT, or undefined if the text is not a JWT. It verifies nothing: that is
 * up to the server.
 */
export const claimsOf = (token: string): Claims | undefined => decode(token.split('.')[1] ?? '')

/** The three parts of a JWT, encoded and decoded. */
export function tokenView(token: string): Element[] {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const text = make(
    'p',
    { class: 'token' },
    make('span', { 'data-field': 'header' }, header),
    '.',
    make('span', { 'data-field': 'payload' }, payload),
    '.',
    make('span', { 'data-field': 'signature' }, signature),
  )
  const expiry = new Date(Number(claimsOf(token)?.exp) * 1000).toLocaleTimeString()
  return [
    text,
    make(
      'div',
      { class: 'parts' },
      part('header', header),
      part('payload', payload, `It expires at ${expiry}, and so do the sockets opened with it.`),
    ),
  ]
}

function part(name: 'header' | 'payload', base64url: string, note = ''): Element {
  return make(
    'section',
    { class: 'part', 'aria-label': `Token, ${name}` },
    make('h3', { 'data-field': name }, name),
    make('pre', {}, JSON.stringify(decode(base64url), null, 2)),
    ...(note === '' ? [] : [make('p', {}, note)]),
  )
}

function decode(base64url: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const binary = atob(base64url.replaceAll('-', '+').replaceAll('_', '/'))
    const bytes = Uint8Array.from(binary, letter => letter.charCodeAt(0))
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
