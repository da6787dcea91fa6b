-- Shared by the scripts that forget jobs; put before them.

-- Forget a job, wherever its id stands, and the claim that leads to it. `claim` is the claim's key
-- or empty; one that somebody else holds by now stays, and so does what is no claim.
local function forget(job, expiry, queued, unfinished, id, claim)
  redis.call('DEL', job)
  redis.call('ZREM', expiry, id)
  redis.call('ZREM', queued, id)
  redis.call('ZREM', unfinished, id)
  if claim and claim ~= '' and redis.pcall('HGET', claim, 'job_id') == id then
    redis.call('DEL', claim)
  end
end
