import { parseOptions } from '@node-rs/argon2'

/** Parameters of new hashes: argon2id as in the OWASP Password Storage Cheat Sheet. */
export const argon2Parameters = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const

/**
 * The hash itself sets the cost of its verification. The limits keep a file from requiring
 * gigabytes, or hardly any memory. The minimum is the least memory that OWASP lists.
 */
const bounds = {
  memoryCost: [7_168, 262_144],
  timeCost: [1, 10],
  parallelism: [1, 8],
  saltLen: [8, 64],
  outputLen: [16, 64],
} as const

const argon2id = 2
const version19 = 1

/**
 * Returns why a PHC string (https://github.com/P-H-C/phc-string-format) is not accepted, or
 * undefined if it is an argon2id hash within bounds (`memoryCost` in KiB). Neither hashes nor
 * allocates, and never quotes the hash.
 */
export function passwordHashFault(phc: string): string | undefined {
  const options = parse(phc)
  if (options?.algorithm !== argon2id || options.version !== version19)
    return 'is not an argon2id hash (a PHC string that begins with $argon2id$v=19$)'
  for (const name of Object.keys(bounds) as (keyof typeof bounds)[]) {
    const [least, most] = bounds[name]
    if (options[name] < least || options[name] > most)
      return `has ${name} ${options[name]}, which must be ${least} to ${most}`
  }
  return undefined
}

function parse(phc: string) {
  // Longer than any hash within bounds.
  if (phc.length > 256) return undefined
  try {
    return parseOptions(phc)
  } catch {
    return undefined
  }
}
