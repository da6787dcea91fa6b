-- Claim an idempotency key, or go on holding it, unless somebody else holds it.
--
-- Why a script: between the look and the claim nobody else may come.
--
-- KEYS     1 the claim
-- ARGV     1 the job's id, 2 the moment, 3 how long a claim is kept (ms), 4 how much longer the
--          server holds on to it (ms)
-- Returns  {the holder's id, its fingerprint or nothing}
--
-- Callers' clocks say when a claim has lapsed; the server's expiry only tidies up after them.

local claim = KEYS[1]
local id, now, kept, margin = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local holder, fingerprint, till = unpack(redis.call('HMGET', claim, 'job_id', 'fingerprint', 'until_ms'))
local is_open = holder == id and not fingerprint -- then it is held for longer
if holder and now < tonumber(till) and not is_open then
  return {holder, fingerprint}
end
redis.call('HSET', claim, 'job_id', id, 'until_ms', string.format('%.0f', now + kept))
redis.call('HDEL', claim, 'fingerprint')
redis.call('PEXPIRE', claim, kept + margin)
return {id, false}
