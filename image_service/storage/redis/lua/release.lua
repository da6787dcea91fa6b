-- Give up a claim that no job has confirmed.
--
-- Why a script: it must still be ours when it goes.
--
-- KEYS     1 the claim
-- ARGV     1 the job's id
-- Returns  nothing of meaning

local holder, fingerprint = unpack(redis.call('HMGET', KEYS[1], 'job_id', 'fingerprint'))
if holder == ARGV[1] and not fingerprint then
  redis.call('DEL', KEYS[1])
end
return 0
