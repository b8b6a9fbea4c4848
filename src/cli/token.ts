import { setTimeout as delay } from 'node:timers/promises'
import { clock, toSeconds } from '../clock.js'
import { wantsHelp } from '../config/arguments.js'
import { resolveConfig } from '../config/resolve.js'
import { optionFlags } from '../config/sources.js'
import { readDevelopmentSecret } from '../disk/development-secret.js'
import { RevocationFile } from '../disk/revocation-file.js'
import { keepSeconds } from '../disk/revocation-life.js'
import { withDevelopmentSecret } from '../gate/prepare.js'
import { Issuers } from '../providers/issuers.js'
import { createCommandLog } from '../telemetry/log.js'
import { createCounters } from '../telemetry/metrics.js'
import type { TokenCheckName } from '../token/passed.js'
import { refuse } from '../token/refusal.js'
import type { TokenVerifier } from '../token/verifier.js'
import { readArguments } from './arguments.js'
import { type Command, type CommandContext, CommandError, type Input, UsageError } from './command.js'
import { type Explained, explanation } from './token-explanation.js'

const usage = `Usage: ticketgate token explain [options of serve] < FILE

Explains what the server, configured by the environment and these options, does with the token on
standard input: its issuer, each check that it passes, and its user, session, expiry and rights; or
the first check that fails, and why. Fetches keys as the server does, and reads revocations from its
state directory. Exit code 0 if the token is accepted, else 1. Never prints the token.
`

const maxInputBytes = 1024 * 1024

/** `ticketgate token explain`: says what the server would do with a token. */
export const token: Command = async (args, context) => {
  const [action, ...flags] = args
  if (wantsHelp(readArguments(args, optionFlags))) {
    context.stdout.write(usage)
    return 0
  }
  // Does not quote the argument, which may be the token.
  if (action !== 'explain') throw new UsageError('expected an action: explain')
  const explained = await explain(flags, context)
  context.stdout.write(explanation(explained))
  return 'reason' in explained.outcome ? 1 : 0
}

async function explain(flags: readonly string[], { env, stdin, stderr }: CommandContext): Promise<Explained> {
  const given = resolveConfig({ env, flags })
  const text = await readToken(stdin)
  const log = createCommandLog(line => stderr.write(`ticketgate: ${line}\n`))
  const config = await withDevelopmentSecret(given, readDevelopmentSecret)
  const { revocations } = await RevocationFile.open(config.stateDir, {
    nowSeconds: () => toSeconds(clock()),
    keepSeconds: keepSeconds(config),
    log,
  })
  const issuers = await Issuers.open(config, { log, counters: createCounters() })
  try {
    const { outcome, passed } = await verified(text, issuers.tokens)
    const isRevoked = !('reason' in outcome) && revocations.covers(outcome)
    return { text, passed, outcome: isRevoked ? refuse('revoked') : outcome }
  } finally {
    issuers.close()
  }
}

/** Looks up an unknown key once more, as for a client that retries. */
async function verified(text: string, tokens: TokenVerifier) {
  for (;;) {
    const passed: TokenCheckName[] = []
    const outcome = tokens.verify(text, clock(), check => passed.push(check))
    if (!('reason' in outcome) || outcome.reason !== 'key_pending') return { outcome, passed }
    await delay(Math.max(50, outcome.waitMs))
  }
}

/**
 * Returns the token, without surrounding white space and without `Bearer`.
 * @throws CommandError
 */
async function readToken(stdin: Input): Promise<string> {
  if (stdin.isTTY)
    throw new UsageError('the token is read from standard input: ticketgate token explain < FILE')
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk)
    length += bytes.length
    if (length > maxInputBytes) throw new CommandError('there is more than one token on standard input')
    chunks.push(bytes)
  }
  const text = Buffer.concat(chunks)
    .toString('utf8')
    .trim()
    .replace(/^bearer\s+/i, '')
  if (text === '') throw new CommandError('there is no token on standard input')
  return text
}
