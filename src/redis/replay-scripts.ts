import { createHash } from 'node:crypto'

/** A script that runs in Redis or Valkey, atomically. */
export interface RedisScript {
  readonly text: string
  /** Names the text to a server that has seen it (EVALSHA). */
  readonly sha: string
}

/** Where the record of the epoch is, and a set to try writing with. */
export const recordKey = 'ticketgate:epoch'
export const probeKey = 'ticketgate:probe-set'

/** How the names of the sets of spent nonces begin. */
export const setPrefix = 'ticketgate:spent:'

export const setOf = (period: number): string => setPrefix + period

const script = (text: string): RedisScript => ({
  text,
  sha: createHash('sha1').update(text).digest('hex'),
})

/**
 * What was spent is kept by the period in which its ticket ends. All gates MUST go by the same: a change of it MUST
 * change the form of the record as well, or a ticket is accepted once by the gates of either version.
 */
export const periodMs = 4000

/** More periods than tickets can be good for, with the most that may be allowed for clocks: two hours and more. */
const mostPeriods = 2000

// A set that nobody forgot in time, because no gate was left to do it, goes by itself: always later than the record.
const recordLifeMs = 24 * 3_600_000
const setLifeMs = 2 * recordLifeMs

/**
 * A call whose failure the script returns, with the name of the command: a server says only that one was not allowed, or is
 * unknown.
 */
const named = (variable: string, command: string, args = ''): string => `
local ${variable} = redis.pcall('${command}'${args === '' ? '' : `, ${args}`})
if type(${variable}) == 'table' and ${variable}.err then return {'refused', '${command}: ' .. ${variable}.err} end`

/**
 * The record of the epoch is `EPOCH:LIFE:EVICTED:GRACE:FORGOTTEN`: 32 hexadecimal digits that tickets carry, the
 * replication id of the server, how many keys it had evicted by then, for how many milliseconds after their end nonces
 * are kept, and the latest period whose nonces were let go. The server takes a new replication id at every start and
 * whenever it is promoted, so the record of one life is worthless in the next, even where it was kept, in a snapshot or
 * on a replica, while nonces were lost.
 */
const readRecord = `
-- To find the name first, and plainly, takes a tenth of the time of a pattern over all of the text.
local fieldOf = function(text, name)
  local _, at = string.find(text, name .. ':', 1, true)
  return at and string.match(text, '^[%w-]+', at + 1)
end
${named('replication', 'INFO', `'replication'`)}
if not string.find(replication, 'role:master', 1, true) then return {'replica'} end
local life = fieldOf(replication, 'master_replid')
if not life then return {'unknown'} end
${named('record', 'GET', 'KEYS[1]')}
record = record or ''
local epoch, of, evicted, grace, forgotten = string.match(record, '^(%x+):(%x+):(%d+):(%d+):(%d+)$')
`

/**
 * Claims nonces, one after another. Keys: the record, the sets of spent nonces. Arguments, for each set: the epoch in the
 * tickets, their period, the nonces, 16 bytes each. Answers a letter a nonce: `f`resh, `r`eplayed, `p`redates.
 * No clock takes part, so none can be wrong: a nonce is in its set until its period is forgotten, in the record.
 */
export const claimScript = script(`${readRecord}
local outcomes = {}
for n = 2, #KEYS do
  local period, nonces = tonumber(ARGV[3 * n - 4]), ARGV[3 * n - 3]
  if of ~= life or epoch ~= ARGV[3 * n - 5] then
    outcomes[#outcomes + 1] = string.rep('p', #nonces / 16)
  elseif period <= tonumber(forgotten) then
    outcomes[#outcomes + 1] = string.rep('r', #nonces / 16)
  else
    for at = 1, #nonces, 16 do
      local isFresh = redis.call('SADD', KEYS[n], string.sub(nonces, at, at + 15)) == 1
      outcomes[#outcomes + 1] = isFresh and 'f' or 'r'
    end
    redis.call('PEXPIREAT', KEYS[n], string.format('%.0f', (period + 1) * ${periodMs} + grace + ${setLifeMs}))
  end
end
return table.concat(outcomes)
`)

/**
 * Looks whether a nonce was claimed. Keys: the record, the set. Arguments: the epoch in the ticket, its period, the nonce.
 */
export const hasScript = script(`${readRecord}
if epoch ~= ARGV[1] or of ~= life then return 'predates' end
if tonumber(ARGV[2]) <= tonumber(forgotten) or redis.call('SISMEMBER', KEYS[2], ARGV[3]) == 1 then return 'spent' end
return 'unspent'
`)

/**
 * Looks whether the store is fit; begins an epoch where there is none of this life, or none that allows as much for
 * clocks, or where the clock of the store has jumped; forgets the periods whose tickets no gate accepts any more.
 * Keys: the record, a key to try writing with. Arguments: the epoch to begin, the grace that this gate needs, what the
 * names of the sets begin with, in how many periods from now on to count, `trusted` where an operator vouches that nothing
 * is evicted. Answers `'ready', epoch, nonces, store time`, or why not.
 */
export const lookScript = script(`${readRecord}
local infoField = function(section, name)
  local info = redis.pcall('INFO', section)
  return type(info) == 'string' and fieldOf(info, name) or nil
end
local isTrusted = ARGV[5] == 'trusted'
local policy = infoField('memory', 'maxmemory_policy')
if policy and policy ~= 'noeviction' then
  redis.call('UNLINK', KEYS[1])
  return {'evicts', policy}
end
local evictions = infoField('stats', 'evicted_keys') or isTrusted and '0'
if not (policy or isTrusted) or not evictions then return {'policy'} end
local text = function(number) return string.format('%.0f', number) end
${named('time', 'TIME')}
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- All that claims do: better refused now than at every handshake.
${named('added', 'SADD', `KEYS[2], ''`)}
${named('expires', 'PEXPIREAT', 'KEYS[2], text(now + 1000)')}
${named('found', 'SISMEMBER', `KEYS[2], ''`)}
${named('counted', 'SCARD', 'KEYS[2]')}
${named('removed', 'UNLINK', 'KEYS[2]')}

local isOurs = of == life and evicted == evictions
local before = isOurs and tonumber(grace) or 0
grace = math.max(before, tonumber(ARGV[2]))
local over = math.floor((now - grace) / ${periodMs}) - 1
forgotten = tonumber(forgotten)
if not isOurs or before < grace or forgotten < over - ${mostPeriods} or forgotten > over + 1 then
  epoch = ARGV[1]
  forgotten = over - ${mostPeriods}
end
-- The record first: a script that ended between the two would leave sets that nobody needs, and none missing.
local from = forgotten + 1
forgotten = math.max(forgotten, over)
record = table.concat({epoch, life, evictions, text(grace), text(forgotten)}, ':')
${named('written', 'SET', `KEYS[1], record, 'PXAT', text(now + ${recordLifeMs})`)}
for period = from, over do redis.call('UNLINK', ARGV[3] .. text(period)) end

local spent = 0
for period = over + 1, math.floor(now / ${periodMs}) + tonumber(ARGV[4]) do
  spent = spent + redis.call('SCARD', ARGV[3] .. text(period))
end
return {'ready', epoch, spent, text(now)}
`)
