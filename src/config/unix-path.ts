/** The prefix of a host that is the path of a Unix domain socket. */
export const unixPrefix = 'unix:'

/** The path of the Unix domain socket in a host; undefined for an address or a name. */
export const unixPathOf = (host: string): string | undefined =>
  host.startsWith(unixPrefix) ? host.slice(unixPrefix.length) : undefined
