import { createHash } from 'node:crypto'

/** A script that runs in Redis or Valkey, atomically. */
export interface RedisScript {
  readonly text: string
  /** Names the text to a server that has seen it (EVALSHA). */
  readonly sha: string
}

const script = (text: string): RedisScript => ({
  text,
  sha: createHash('sha1').update(text).digest('hex'),
})

/**
 * The record of the epoch is `EPOCH:LIFE:EVICTED:GRACE`: 32 hexadecimal digits that tickets carry, the replication id of
 * the server, how many keys it had evicted by then, and for how many milliseconds after their end nonces are kept. The
 * server takes a new replication id at every start and whenever it is promoted, so the record of one life is worthless
 * in the next, even where it was kept, in a snapshot or on a replica, while nonces were lost.
 */
const readRecord = `
local replication = redis.call('INFO', 'replication')
if not string.find(replication, 'role:master', 1, true) then return {'replica'} end
local life = string.match(replication, 'master_replid:(%x+)')
if not life then return {'unfit'} end
local record = redis.call('GET', KEYS[1]) or ''
local epoch, of, evicted, grace = string.match(record, '^(%x+):(%x+):(%d+):(%d+)$')
`

/**
 * Claims nonces, one after another. Keys: the record, the nonces. Arguments, two a nonce: the epoch in the ticket; when the
 * ticket ends, Unix milliseconds. How long after that it is kept, and refused from then on, is the same for all gates,
 * whatever they allow for clocks; and the store's clock alone decides. Answers a letter a nonce: `f`resh, `r`eplayed,
 * `p`redates.
 */
export const claimScript = script(`${readRecord}
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local outcomes = {}
for n = 2, #KEYS do
  local outcome = 'r'
  if of ~= life or epoch ~= ARGV[2 * n - 3] then
    outcome = 'p'
  else
    local last = tonumber(ARGV[2 * n - 2]) + tonumber(grace)
    if now < last and redis.call('SET', KEYS[n], '', 'NX', 'PXAT', string.format('%.0f', last)) then
      outcome = 'f'
    end
  end
  outcomes[n - 1] = outcome
end
return table.concat(outcomes)
`)

/** Looks whether a nonce was claimed. Keys: the record, the nonce. Argument: the epoch in the ticket. */
export const hasScript = script(`${readRecord}
if epoch ~= ARGV[1] or of ~= life then return 'predates' end
if redis.call('EXISTS', KEYS[2]) == 1 then return 'spent' end
return 'unspent'
`)

/**
 * Looks whether the store is fit, and begins an epoch where there is none of this life. Keys: the record, a key to try
 * writing with. Arguments: the epoch to begin, the grace that this gate needs. Answers `'ready', epoch, keys in the
 * database, store time`, or why not.
 */
export const lookScript = script(`${readRecord}
local policy = string.match(redis.call('INFO', 'memory'), 'maxmemory_policy:([%w-]+)')
if policy ~= 'noeviction' then
  redis.call('DEL', KEYS[1])
  return {'evicts', policy or 'unknown'}
end
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[2], '', 'PXAT', string.format('%.0f', ms + 1000))
local evictions = string.match(redis.call('INFO', 'stats'), 'evicted_keys:(%d+)')
local isOurs = of == life and evicted == evictions
if not isOurs or tonumber(grace) < tonumber(ARGV[2]) then
  epoch = ARGV[1]
  grace = isOurs and math.max(tonumber(grace), tonumber(ARGV[2])) or ARGV[2]
  redis.call('SET', KEYS[1], epoch .. ':' .. life .. ':' .. evictions .. ':' .. grace)
end
return {'ready', epoch, redis.call('DBSIZE'), string.format('%.0f', ms)}
`)
