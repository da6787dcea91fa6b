-- Keep a new job, unless too many wait or are kept, and confirm its claim.
--
-- Why a script: many processes create jobs, and the bounds hold over all of them; and a key that
-- leads to a job must never be seen without the job.
--
-- KEYS     1 the job, 2 all jobs by expiry, 3 the queued, 4 the unfinished, 5 the claim if any
-- ARGV     1 id, 2 owner, 3 document, 4 revision, 5 created and 6 expires (ms), 7 how long the
--          server holds on to it (ms), 8 how many may wait, 9 how many are kept, 10 fingerprint
-- Returns  1 it is kept, -1 too many wait, -2 too many are kept, -3 the claim is another's
--
-- A job that is there already is one whose creator did not hear the first answer.

local job, expiry, queued, unfinished, claim = unpack(KEYS)
local id, owner, document, revision, created, expires, held = unpack(ARGV, 1, 7)
local queue_limit, max_jobs, fingerprint = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
local KEPT, QUEUE_FULL, STORE_FULL, CLAIM_LOST = 1, -1, -2, -3

if redis.call('HEXISTS', job, 'document') == 1 then
  return KEPT
end
if redis.call('ZCARD', queued) >= queue_limit then
  return QUEUE_FULL
end
if redis.call('ZCARD', expiry) >= max_jobs then
  return STORE_FULL
end
if claim then -- first: should something else be there, nothing is done
  local holder = redis.call('HGET', claim, 'job_id')
  if holder and holder ~= id then
    return CLAIM_LOST
  end
  redis.call('HSET', claim, 'job_id', id, 'fingerprint', fingerprint, 'until_ms', expires)
  redis.call('PEXPIRE', claim, held)
end
redis.call(
  'HSET', job, 'document', document, 'revision', revision, 'owner', owner, 'claim', claim or ''
)
redis.call('PEXPIRE', job, held)
redis.call('ZADD', expiry, expires, id)
redis.call('ZADD', queued, created, id)
redis.call('ZADD', unfinished, created, id)
return KEPT
