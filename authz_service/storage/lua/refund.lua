-- Give back what rates and buckets counted of a request that another node of a cluster refused.
--
-- Why a script: what is cut out of a counter must be what stands there at that moment.
--
-- KEYS     the counters, all in one slot
-- ARGV     for each key in turn, times in milliseconds:
--            'rate' or 'buckets', cost, window, the epoch that it was counted at
-- Returns  how many places were given back: those that are still counted, and no more
--
-- Admissions of one millisecond are all alike, so it does not matter whose are cut out. A counter
-- that is empty then is made to expire: so the user needs no right to delete.

local PER_KEY = 4

local function refund_rate(key, cost, moment)
  local log = redis.call('GET', key)
  local offset = log and moment - unpack_number('<I8', log)
  if not offset or offset < 0 then
    return 0
  end
  local length = (#log - EPOCH_BYTES) / ENTRY_BYTES
  local last = count_until(log, length, offset)
  local first = math.max(count_until(log, length, offset - 1), last - cost)
  if last - first == length then
    redis.call('PEXPIREAT', key, 1)
  elseif last > first then
    local before = string.sub(log, 1, EPOCH_BYTES + first * ENTRY_BYTES)
    local after = string.sub(log, EPOCH_BYTES + last * ENTRY_BYTES + 1)
    redis.call('SET', key, before .. after, 'KEEPTTL')
  end
  return last - first
end

local function refund_buckets(key, cost, moment, window)
  local value = redis.call('GET', key) or ''
  local width = math.ceil(window / BUCKETS)
  local at, last, count = 1, nil, nil
  repeat
    if at > #value then
      return 0
    end
    last, count = unpack_number('<I8I4', value, at)
    at = at + BUCKET_BYTES
  until last >= moment
  if math.floor(last / width) ~= math.floor(moment / width) then
    return 0
  end
  local gone = math.min(cost, count)
  local left = gone < count and pack_number('<I8I4', last, count - gone) or ''
  local kept = string.sub(value, 1, at - BUCKET_BYTES - 1) .. left .. string.sub(value, at)
  if kept == '' then
    redis.call('PEXPIREAT', key, 1)
  else
    redis.call('SET', key, kept, 'KEEPTTL')
  end
  return gone
end

local REFUND = {rate = refund_rate, buckets = refund_buckets}

local given_back = 0
for index, key in ipairs(KEYS) do
  local at = (index - 1) * PER_KEY
  local cost, window, moment = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  if now < moment + window then
    given_back = given_back + REFUND[ARGV[at + 1]](key, cost, moment, window)
  end
end
return given_back
