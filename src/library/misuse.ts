/**
 * Mistakes of the program that calls the library, as opposed to refused tickets: always a
 * TypeError.
 */

/** @throws TypeError that names the option */
export function requireThat(holds: boolean, option: string, expectation: string): asserts holds {
  if (!holds) throw new TypeError(`${option} must be ${expectation}`)
}

/**
 * Checks that `value` is an object without unknown members: a misspelt restriction would restrict
 * nothing.
 * @throws TypeError that names the member
 */
export function requireMembers(value: unknown, name: string, members: readonly string[]): void {
  requireThat(typeof value === 'object' && value !== null, name, 'an object')
  for (const member of Object.keys(value))
    if (!members.includes(member))
      throw new TypeError(`${name}.${member} does not exist: there are ${members.join(', ')}`)
}
