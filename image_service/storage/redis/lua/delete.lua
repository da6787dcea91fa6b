-- Forget a job of one owner, and its claim.
--
-- Why a script: whose job it is must hold until it is gone, and it goes from everywhere at once.
--
-- KEYS     1 the job, 2 all jobs by expiry, 3 the queued, 4 the unfinished
-- ARGV     1 id, 2 owner
-- Returns  1 it is forgotten, 0 there was none of this owner

local job, expiry, queued, unfinished = unpack(KEYS)
local id, owner = unpack(ARGV)

local kept_owner, claim = unpack(redis.call('HMGET', job, 'owner', 'claim'))
if kept_owner ~= owner then
  return 0
end
forget(job, expiry, queued, unfinished, id, claim)
return 1
