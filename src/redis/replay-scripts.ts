import { createHash } from 'node:crypto'

/** A script that runs in Redis or Valkey, atomically. */
export interface RedisScript {
  readonly text: string
  /** Names the script to a server that has seen it (EVALSHA). */
  readonly sha: string
}

/** The keys of the epoch record, and of a set for trying to write. */
export const recordKey = 'ticketgate:epoch'
export const probeKey = 'ticketgate:probe-set'

/** Prefix of the names of the sets of spent nonces. */
export const setPrefix = 'ticketgate:spent:'

export const setOf = (period: number): string => setPrefix + period

const script = (text: string): RedisScript => ({
  text,
  sha: createHash('sha1').update(text).digest('hex'),
})

/**
 * Spent nonces are kept by the period in which their ticket ends. All gates MUST use the same
 * length. A change of it MUST also change the form of the record, or gates of the two versions
 * would accept a ticket once each.
 */
export const periodMs = 4000

/**
 * More periods than a ticket can live, including the largest allowance for clocks: over two hours.
 */
const mostPeriods = 2000

// Lets sets expire by themselves if no gate is left to remove them. The record always expires
// first.
const recordLifeMs = 24 * 3_600_000
const setLifeMs = 2 * recordLifeMs

/**
 * A call that returns its failure together with the name of the command, which servers leave out.
 */
const named = (variable: string, command: string, args = ''): string => `
local ${variable} = redis.pcall('${command}'${args === '' ? '' : `, ${args}`})
if type(${variable}) == 'table' and ${variable}.err then return {'refused', '${command}: ' .. ${variable}.err} end`

/**
 * The epoch record is `EPOCH:LIFE:EVICTED:GRACE:FORGOTTEN`: the 32 hexadecimal digits that tickets
 * carry, the replication id of the server, its count of evicted keys at the time, for how many
 * milliseconds after their end nonces are kept, and the latest period whose nonces were removed.
 * A server takes a new replication id at every start and at every promotion. So the record of one
 * life is void in the next, even if a snapshot or a replica kept the record but lost nonces.
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
 * Spends nonces, one after another.
 * Keys: the record, the sets of spent nonces.
 * Arguments, for each set: the epoch of the tickets, their period, the nonces, 16 bytes each.
 * Returns one letter per nonce: `f`resh, `r`eplayed, `p`redates. No clock takes part, so no clock
 * can be wrong: a nonce stays in its set until the record says that its period is forgotten.
 */
export const spendScript = script(`${readRecord}
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
 * Returns whether a nonce was spent.
 * Keys: the record, the set.
 * Arguments: the epoch of the ticket, its period, the nonce.
 */
export const hasScript = script(`${readRecord}
if epoch ~= ARGV[1] or of ~= life then return 'predates' end
if tonumber(ARGV[2]) <= tonumber(forgotten) or redis.call('SISMEMBER', KEYS[2], ARGV[3]) == 1 then return 'spent' end
return 'unspent'
`)

/**
 * Checks whether the store is usable. Begins an epoch if this life has none, if the present one
 * allows too little for clocks, or if the store's clock has jumped. Removes the periods whose
 * tickets no gate accepts any more.
 * Keys: the record, a key for trying to write.
 * Arguments: the epoch to begin, the grace that this gate needs, the prefix of the sets, how many
 * periods to count from now on, `trusted` if the operator vouches that nothing is evicted.
 * Returns `'ready', epoch, nonces, store time`, or why the store is unusable.
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
-- All that spending does: better refused now than at every handshake.
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
