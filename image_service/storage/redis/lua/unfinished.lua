-- The jobs that are not final and were created before a moment, the oldest first.
--
-- Why a script: one round trip, however many there are.
--
-- KEYS     1 the unfinished
-- ARGV     1 the moment (ms), 2 how many at most, 3 what the keys of jobs begin with
-- Returns  for each an id and a document; the document is empty where there is none to be read

local moment, most, prefix = unpack(ARGV)

local told = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. moment, 'LIMIT', 0, most)) do
  local found = redis.pcall('HGET', prefix .. id, 'document')
  told[#told + 1] = id
  told[#told + 1] = type(found) == 'string' and found or ''
end
return told
