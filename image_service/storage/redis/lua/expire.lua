-- Forget jobs that have expired, the longest expired first, and tell which they were.
--
-- Why a script: what one caller was told nobody else is.
--
-- KEYS     1 all jobs by expiry, 2 the queued, 3 the unfinished
-- ARGV     1 the moment (ms), 2 how many at most, 3 what the keys of jobs begin with
-- Returns  for each an id and a document; the document is empty where there is none to be read
--
-- A job whose key holds something else is forgotten like the others: it must not hold them up.

local expiry, queued, unfinished = unpack(KEYS)
local now, most, prefix = unpack(ARGV)

local told = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, most)) do
  local found = redis.pcall('HMGET', prefix .. id, 'document', 'claim')
  local document, claim = found[1], found[2]
  forget(prefix .. id, expiry, queued, unfinished, id, claim)
  told[#told + 1] = id
  told[#told + 1] = document or ''
end
return told
