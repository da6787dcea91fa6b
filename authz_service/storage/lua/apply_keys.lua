-- Make all of some changes to the records of keys, or none of them, and tell everybody who follows.
--
-- Why a script: whether a record is still as the caller saw it, and whether its id and its digest
-- are free, must hold until everything is written; and the count of changes, the records and the
-- stream must never contradict each other.
--
-- KEYS     1 the records, 2 the digests, 3 the generation, 4 the changes, 5 when keys were used:
--          `authz_service/storage/keys/names.py` says what each holds. All in one hash slot.
-- ARGV     how many changes the stream keeps, roughly; then five for each change:
--            id,
--            the record before and its digest, both empty where there was none,
--            the record after and its digest, both empty where it is deleted
-- Returns  {1, generation}    all is done
--          {0, number, what}  nothing is: the change of this number, counting from 1, cannot be made
--                             because 1: the record is not as it was before, 2: the id is taken,
--                             3: the digest is taken
--
-- A record is stored behind the generation of its latest change and a space.

local DONE, REFUSED = 1, 0
local CHANGED, ID_TAKEN, DIGEST_TAKEN = 1, 2, 3
local PER_CHANGE = 5

local records, digests, generation, stream, used = unpack(KEYS)
local kept = ARGV[1]

local changes = {}
for at = 2, #ARGV, PER_CHANGE do
  changes[#changes + 1] = {
    id = ARGV[at],
    before = ARGV[at + 1],
    old_digest = ARGV[at + 2],
    after = ARGV[at + 3],
    new_digest = ARGV[at + 4],
  }
end

-- What each change gives up, by digest, and whom a digest goes to.
local given_up, taken = {}, {}
for _, change in ipairs(changes) do
  if change.before ~= '' then
    given_up[change.old_digest] = change.id
  end
end

for number, change in ipairs(changes) do
  local stored = redis.call('HGET', records, change.id)
  local held = stored and string.gsub(stored, '^%d+ ', '', 1)
  if change.before == '' then
    if held then
      return {REFUSED, number, ID_TAKEN}
    end
  elseif held ~= change.before then
    return {REFUSED, number, CHANGED}
  end
  if change.after ~= '' then
    local owner = redis.call('HGET', digests, change.new_digest)
    local is_free = not owner or given_up[change.new_digest] == owner
    if taken[change.new_digest] or not is_free then
      return {REFUSED, number, DIGEST_TAKEN}
    end
    taken[change.new_digest] = true
  end
end

for digest in pairs(given_up) do
  redis.call('HDEL', digests, digest)
end
local count = 0
for _, change in ipairs(changes) do
  count = redis.call('INCR', generation)
  local entry = {'generation', count, 'id', change.id}
  if change.after == '' then
    redis.call('HDEL', records, change.id)
    redis.call('HDEL', used, change.id)
  else
    redis.call('HSET', records, change.id, count .. ' ' .. change.after)
    redis.call('HSET', digests, change.new_digest, change.id)
    entry[#entry + 1] = 'record'
    entry[#entry + 1] = change.after
  end
  redis.call('XADD', stream, 'MAXLEN', '~', kept, '*', unpack(entry))
end
return {DONE, count}
