/** The extension that compresses messages (RFC 7692). */
export const deflateExtension = 'permessage-deflate'

/** A WebSocket extension, with its parameters; `true` is one without a value. */
export interface Extension {
  readonly name: string
  readonly parameters: readonly (readonly [name: string, value: string | true])[]
}

const token = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
const parameter = `[ \\t]*;[ \\t]*(${token})(?:[ \\t]*=[ \\t]*(?:(${token})|"(${token})"))?`
const element = new RegExp(`^[ \\t]*(${token})((?:${parameter})*)[ \\t]*$`)
const parameters = new RegExp(parameter, 'g')

/**
 * All extensions in order (RFC 6455 section 9.1); none if one of them is malformed. Tokens contain
 * no commas.
 * @param field the value of `Sec-WebSocket-Extensions`, from all its lines
 */
export function extensionsIn(field: string): readonly Extension[] {
  const extensions: Extension[] = []
  for (const text of field.split(',')) {
    if (text.trim() === '') continue
    const [, name, rest = ''] = element.exec(text) ?? []
    if (name === undefined) return []
    extensions.push({
      name: name.toLowerCase(),
      parameters: [...rest.matchAll(parameters)].map(
        ([, key = '', value, quoted]) => [key.toLowerCase(), value ?? quoted ?? true] as const,
      ),
    })
  }
  return extensions
}

/** The size of an LZ77 window, 8 to 15, without leading zeros (RFC 7692 section 7.1.2). */
export const windowBits = (value: string | true): number | undefined =>
  value !== true && /^(?:[89]|1[0-5])$/.test(value) ? Number(value) : undefined
