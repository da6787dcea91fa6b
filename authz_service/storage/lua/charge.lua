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
-- A rate is stored as the epoch of its oldest admission when last rewritten (8 bytes) and then
-- 4 bytes for each admission: milliseconds since that epoch, oldest first. Buckets are stored as
-- the epoch of the last admission (8 bytes) and the count (4 bytes) of each, oldest first. A quota
-- is stored as the latest period start it was counted under and a count (8 bytes each). An answer
-- is stored as the epoch until which it stands in for another charge and then, for each charge,
-- what remained and the epoch of the reset (8 bytes each). All numbers little-endian.
--
-- A counter's time never runs backwards: it is the later of the clock and what the counter holds.
-- Waits are told on the clock. `meter.py` and `buckets.py` in `authz_service/core` say the same in
-- Python.

local ADMITTED, DENIED, STALE = 1, 0, 2
local EPOCH_BYTES, ENTRY_BYTES = 8, 4
local LARGEST_OFFSET = 4294967295
-- Counters are kept longer than they count, so that a clock set back by less frees nothing.
local KEPT = 60000
-- Dead entries stay until they are as many as the limit and this many more, so that cutting them
-- off costs little an admission and a log never holds more than twice its limit and this.
local SPARE_ENTRIES = 16
-- A bucket takes the admissions of this part of a window, and counts until the last one leaves it.
local BUCKETS, BUCKET_BYTES = 60, 12
-- What is waited for an empty counter that cannot admit, because its limit is held elsewhere.
local LEAST_WAIT = 1
-- How long an answer is remembered.
local REMEMBERED = 2000

local unpack_number, pack_number = struct.unpack, struct.pack
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function entry(log, index)
  return unpack_number('<I4', log, EPOCH_BYTES + index * ENTRY_BYTES + 1)
end

-- The number of entries that are not later than `cut`.
local function count_until(log, length, cut)
  local low, high = 0, length
  if entry(log, 0) > cut then
    return 0
  end
  while low < high do
    local middle = math.floor((low + high) / 2)
    if entry(log, middle) <= cut then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

local function read_rate(key, cost, limit, window)
  local log = redis.call('GET', key)
  if not log then
    return {
      cost = cost,
      limit = limit,
      window = window,
      moment = now,
      used = 0,
      remaining = math.max(0, limit),
      reset = 0,
      retry = cost > limit and LEAST_WAIT or 0,
    }
  end
  local epoch = unpack_number('<I8', log)
  local length = (#log - EPOCH_BYTES) / ENTRY_BYTES
  local moment = math.max(now, epoch + entry(log, length - 1))
  local dead = count_until(log, length, moment - window - epoch)
  local used = length - dead
  local excess = used + cost - limit
  local wait = epoch + window - now -- from an entry to the time until it leaves the window
  local retry = 0
  if excess > 0 then
    retry = used > 0 and wait + entry(log, dead + math.min(excess, used) - 1) or LEAST_WAIT
  end
  return {
    cost = cost,
    limit = limit,
    window = window,
    moment = moment,
    log = log,
    epoch = epoch,
    dead = dead,
    used = used,
    remaining = math.max(0, limit - used),
    reset = used > 0 and wait + entry(log, dead) or 0,
    retry = retry,
  }
end

local function rewrite_rate(key, rate)
  local epoch, kept = rate.moment, {}
  if rate.used > 0 then
    epoch = rate.epoch + entry(rate.log, rate.dead)
  end
  for index = 1, rate.used do
    local admission = rate.epoch + entry(rate.log, rate.dead + index - 1)
    kept[index] = pack_number('<I4', admission - epoch)
  end
  local added = string.rep(pack_number('<I4', rate.moment - epoch), rate.cost)
  local log = pack_number('<I8', epoch) .. table.concat(kept) .. added
  redis.call('SET', key, log, 'PXAT', rate.moment + rate.window + KEPT)
end

local function take_rate(key, rate)
  local offset = rate.log and rate.moment - rate.epoch
  if not offset or offset > LARGEST_OFFSET or rate.dead >= rate.limit + SPARE_ENTRIES then
    rewrite_rate(key, rate)
  else
    redis.call('APPEND', key, string.rep(pack_number('<I4', offset), rate.cost))
    redis.call('PEXPIREAT', key, rate.moment + rate.window + KEPT)
  end
  if rate.used == 0 then
    rate.reset = rate.moment + rate.window - now
  end
end

-- How long it takes until `excess` places are free, as far as they are in the buckets from `first`.
local function bucket_wait(buckets, first, excess, window)
  if excess <= 0 then
    return 0
  elseif first > #buckets then
    return LEAST_WAIT
  end
  local at = first
  excess = excess - buckets[at + 1]
  while excess > 0 and at + 2 < #buckets do
    at = at + 2
    excess = excess - buckets[at + 1]
  end
  return buckets[at] + window - now
end

local function read_buckets(key, cost, limit, window)
  local value = redis.call('GET', key)
  local buckets, moment = {}, now -- last admission and count of the first, of the second, ...
  if value then
    local format = '<' .. string.rep('I8I4', #value / BUCKET_BYTES)
    buckets = {unpack_number(format, value)}
    buckets[#buckets] = nil -- it is where unpacking stopped
    moment = math.max(now, buckets[#buckets - 1])
  end
  local first, used = 1, 0
  while first < #buckets and buckets[first] <= moment - window do
    first = first + 2
  end
  for at = first + 1, #buckets, 2 do
    used = used + buckets[at]
  end
  return {
    cost = cost,
    window = window,
    moment = moment,
    value = value or '',
    buckets = buckets,
    first = first,
    remaining = math.max(0, limit - used),
    reset = used > 0 and buckets[first] + window - now or 0,
    retry = bucket_wait(buckets, first, used + cost - limit, window),
  }
end

local function take_buckets(key, counter)
  local buckets, moment, count = counter.buckets, counter.moment, counter.cost
  local oldest, newest = buckets[counter.first] or moment, buckets[#buckets - 1]
  local start, stop = (counter.first - 1) / 2 * BUCKET_BYTES + 1, #counter.value
  local width = math.ceil(counter.window / BUCKETS)
  if newest and math.floor(newest / width) == math.floor(moment / width) then
    count = count + buckets[#buckets]
    stop = stop - BUCKET_BYTES
    if stop < start then
      oldest = moment
    end
  end
  local kept = string.sub(counter.value, start, stop)
  local value = kept .. pack_number('<I8I4', moment, count)
  redis.call('SET', key, value, 'PXAT', moment + counter.window + KEPT)
  counter.reset = oldest + counter.window - now
end

-- `first` is where the four boundaries stand in ARGV. Without `stop` the moment is outside them.
local function read_quota(key, cost, limit, first)
  local value = redis.call('GET', key)
  local since, used = 0, 0
  if value then
    since, used = unpack_number('<I8I8', value)
  end
  local moment = math.max(now, since)
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
local function recall(key)
  local value = redis.call('GET', key)
  if not value then
    return nil
  end
  local numbers = {unpack_number('<' .. string.rep('I8', #value / 8), value)}
  if now >= numbers[1] then
    return nil
  end
  local answer = {ADMITTED}
  for at = 2, #numbers - 1, 2 do -- the last one is not stored: it is where unpacking stopped
    answer[#answer + 1] = numbers[at]
    answer[#answer + 1] = math.max(0, numbers[at + 1] - now)
    answer[#answer + 1] = 0
  end
  return answer
end

local function remember(key, counters)
  local numbers = {now + REMEMBERED}
  for _, counter in ipairs(counters) do
    numbers[#numbers + 1] = counter.remaining
    numbers[#numbers + 1] = now + counter.reset
  end
  local value = pack_number('<' .. string.rep('I8', #numbers), unpack(numbers))
  redis.call('SET', key, value, 'PXAT', numbers[1])
end

local once = ARGV[#ARGV] == 'once' and table.remove(KEYS)
local peek = ARGV[#ARGV] == 'peek'
local recalled = once and recall(once)
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
  remember(once, counters)
end
return answer
