-- Take every charge of one request from its counter, or none of them.
--
-- Why a script: the limits must be read and charged with nothing in between, on one clock. A
-- transaction cannot decide on what it read, and the clocks of the callers differ.
--
-- KEYS     one counter a charge, all in one hash slot; last, where the answer to a call that has an
--          id is remembered.
-- ARGV     for each key in turn, times in milliseconds, and the limit less what is held elsewhere,
--          which may be less than nothing:
--            'rate',    cost, limit, window
--            'buckets', cost, limit, window
--            'quota',   cost, limit, then the starts of the previous, the current and the next
--                       period and the end of the next one (epoch)
--          and last, where the call has an id: 'once'; where it only looks, and has none: 'peek'
-- Returns  integers, times in milliseconds from now:
--            {1, remaining, reset, retry, ...}  admitted; three for each key, after the charge, or
--                                               with 'peek' as found, and nothing was written
--            {0, remaining, reset, retry, ...}  denied; nothing was written
--            {2, moment, ...}                   a quota's moment lies outside its boundaries: send
--                                               the boundaries around it; 0 for a rate
--
-- `counters.lua` says how rates, buckets and answers are stored. A quota is stored as the latest
-- period start it was counted under and a count (8 bytes each, little-endian). Remembered are, for
-- each charge, what remained and the epoch of the reset.
--
-- A quota's time never runs backwards either. `meter.py` in `authz_service/core` says the same in
-- Python.

local ADMITTED, DENIED, STALE = 1, 0, 2

-- `first` is where the four boundaries stand in ARGV. Without `stop` the moment is outside them.
local function read_quota(key, cost, limit, first)
  local since, used, moment = read_tally(key)
  local start, stop = tonumber(ARGV[first]), nil
  if moment < start then
    return {moment = moment}
  end
  for index = first + 1, first + 3 do
    stop = tonumber(ARGV[index])
    if moment < stop then
      break
    end
    start, stop = stop, nil
  end
  if not stop then
    return {moment = moment}
  end
  if since < start then
    since, used = start, 0
  end
  return {
    cost = cost,
    moment = moment,
    since = since,
    stop = stop,
    used = used,
    remaining = math.max(0, limit - used),
    reset = used > 0 and stop - now or 0,
    retry = used + cost > limit and stop - now or 0,
  }
end

local function take_quota(key, quota)
  local value = pack_number('<I8I8', quota.since, quota.used + quota.cost)
  redis.call('SET', key, value, 'PXAT', quota.stop + KEPT)
  quota.reset = quota.stop - now
end

-- The answer that was given under `key`, its resets told on the clock as it is now; nil if none.
local function answer_again(key)
  local numbers = recall(key)
  if not numbers then
    return nil
  end
  local answer = {ADMITTED}
  for at = 1, #numbers, 2 do
    answer[#answer + 1] = numbers[at]
    answer[#answer + 1] = math.max(0, numbers[at + 1] - now)
    answer[#answer + 1] = 0
  end
  return answer
end

local function remember_answer(key, counters)
  local numbers = {}
  for _, counter in ipairs(counters) do
    numbers[#numbers + 1] = counter.remaining
    numbers[#numbers + 1] = now + counter.reset
  end
  remember(key, numbers)
end

local once = ARGV[#ARGV] == 'once' and table.remove(KEYS)
local peek = ARGV[#ARGV] == 'peek'
local recalled = once and answer_again(once)
if recalled then
  return recalled
end

local counters, status, argument = {}, ADMITTED, 1
for index, key in ipairs(KEYS) do
  local cost, limit = tonumber(ARGV[argument + 1]), tonumber(ARGV[argument + 2])
  local counter
  if ARGV[argument] == 'quota' then
    counter = read_quota(key, cost, limit, argument + 3)
    argument = argument + 7
  else
    local read = ARGV[argument] == 'rate' and read_rate or read_buckets
    counter = read(key, cost, limit, tonumber(ARGV[argument + 3]))
    argument = argument + 4
  end
  counters[index] = counter
  if not counter.retry then
    status = STALE
  elseif counter.retry > 0 and status ~= STALE then
    status = DENIED
  end
end

local answer = {status}
if status == STALE then
  for index, counter in ipairs(counters) do
    answer[index + 1] = counter.window and 0 or counter.moment
  end
  return answer
end

for index, counter in ipairs(counters) do
  if status == ADMITTED and not peek then
    if counter.buckets then
      take_buckets(KEYS[index], counter)
    elseif counter.window then
      take_rate(KEYS[index], counter)
    else
      take_quota(KEYS[index], counter)
    end
    counter.remaining = counter.remaining - counter.cost
  end
  local at = index * 3
  answer[at - 1], answer[at], answer[at + 1] = counter.remaining, counter.reset, counter.retry
end
if once and status == ADMITTED then
  remember_answer(once, counters)
end
return answer
