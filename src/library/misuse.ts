/** Mistakes of the program that calls the library, as opposed to tickets that are refused: always a TypeError. */

/** @throws TypeError that names the option */
export function demand(holds: boolean, option: string, expectation: string): asserts holds {
  if (!holds) throw new TypeError(`${option} must be ${expectation}`)
}

/**
 * Refuses what is no plain object, and members that do not exist: a restriction with its name misspelt would be none.
 * @throws TypeError that names the member
 */
export function demandMembers(value: unknown, name: string, members: readonly string[]): void {
  demand(typeof value === 'object' && value !== null, name, 'an object')
  for (const member of Object.keys(value))
    if (!members.includes(member))
      throw new TypeError(`${name}.${member} does not exist: there are ${members.join(', ')}`)
}
