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
 * The record of the epoch is `EPOCH:LIFE:EVICTED`: 32 hexadecimal digits that tickets carry, the replication id of the
 * server, 40 more, and how many keys it had evicted by then. The server takes a new replication id at every start and
 * whenever it is promoted, so the record of one life is worthless in the next, even where it was kept, in a snapshot or
 * on a replica, while nonces were lost.
 */
const life = `
local replication = redis.call('INFO', 'replication')
if not string.find(replication, 'role:master', 1, true) then return {'replica'} end
local life = string.match(replication, 'master_replid:(%x+)')
if not life then return {'unfit'} end
`

const isOfThisLife = `${life}
local record = redis.call('GET', KEYS[1])
if not record or string.sub(record, 1, 73) ~= ARGV[1] .. ':' .. life then return 'predates' end
`

/**
 * Claims a nonce. Keys: the record, the nonce. Arguments: the epoch in the ticket; until when, by the store's clock, the
 * nonce is kept and later refused.
 */
export const claimScript = script(`${isOfThisLife}
local time = redis.call('TIME')
if time[1] * 1000 + time[2] / 1000 >= tonumber(ARGV[2]) then return 'replayed' end
if redis.call('SET', KEYS[2], '', 'NX', 'PXAT', ARGV[2]) then return 'fresh' end
return 'replayed'
`)

/** Looks whether a nonce was claimed. Keys: the record, the nonce. Argument: the epoch in the ticket. */
export const hasScript = script(`${isOfThisLife}
if redis.call('EXISTS', KEYS[2]) == 1 then return 'spent' end
return 'unspent'
`)

/**
 * Looks whether the store is fit, and begins an epoch where there is none of this life. Keys: the record, a key to try
 * writing with. Argument: the epoch to begin. Answers `'ready', epoch, keys in the database, store time`, or why not.
 */
export const lookScript = script(`${life}
local policy = string.match(redis.call('INFO', 'memory'), 'maxmemory_policy:([%w-]+)')
if policy ~= 'noeviction' then
  redis.call('DEL', KEYS[1])
  return {'evicts', policy or 'unknown'}
end
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[2], '', 'PXAT', string.format('%.0f', ms + 1000))
local tail = ':' .. life .. ':' .. string.match(redis.call('INFO', 'stats'), 'evicted_keys:(%d+)')
local record = redis.call('GET', KEYS[1])
if not record or string.sub(record, 33) ~= tail then
  record = ARGV[1] .. tail
  redis.call('SET', KEYS[1], record)
end
return {'ready', string.sub(record, 1, 32), redis.call('DBSIZE'), string.format('%.0f', ms)}
`)
