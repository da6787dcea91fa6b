-- Put a job in the place of the revision before it.
--
-- Why a script: of several that move the same job one wins, and the sets must say the same as the
-- job.
--
-- KEYS     1 the job, 2 the queued, 3 the unfinished
-- ARGV     1 id, 2 document, 3 revision, 4 created (ms), 5 whether it is queued and 6 unfinished
-- Returns  1 that is how the job stands now, 0 it is at another revision or gone

local job, queued, unfinished = unpack(KEYS)
local id, document, revision, created, is_queued, is_unfinished = unpack(ARGV)

local function list(set, belongs)
  if belongs == '1' then
    redis.call('ZADD', set, created, id)
  else
    redis.call('ZREM', set, id)
  end
end

local kept, kept_revision = unpack(redis.call('HMGET', job, 'document', 'revision'))
if kept == document then
  return 1 -- said twice
end
if not kept or tonumber(kept_revision) + 1 ~= tonumber(revision) then
  return 0
end
redis.call('HSET', job, 'document', document, 'revision', revision)
list(queued, is_queued)
list(unfinished, is_unfinished)
return 1
