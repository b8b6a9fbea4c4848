import { parseOptions } from '@node-rs/argon2'

/** What new hashes are made with: argon2id as the OWASP Password Storage Cheat Sheet has it. */
export const argon2Parameters = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const

/**
 * Verifying a hash costs what the hash itself demands, so a file must not be able to demand gigabytes; and
 * one that demands next to nothing would protect nothing. The floor is the least memory OWASP lists.
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
 * Why a PHC string (https://github.com/P-H-C/phc-string-format) will not be used, or undefined when it is an
 * argon2id hash within bounds (`memoryCost` in KiB). Neither hashes nor allocates; never repeats the hash.
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
  // The longest hash within bounds is shorter than this.
  if (phc.length > 256) return undefined
  try {
    return parseOptions(phc)
  } catch {
    return undefined
  }
}
