-- Sliding windows, logs and buckets: how they are stored, read and charged; and how answers are
-- remembered. This part stands before the main part of every script that counts; there are no
-- modules on a server.
--
-- A rate is stored as the epoch of its oldest admission when last rewritten (8 bytes) and then
-- 4 bytes for each admission: milliseconds since that epoch, oldest first. Buckets are stored as
-- the epoch of the last admission (8 bytes) and the count (4 bytes) of each, oldest first. An
-- answer is stored as the epoch until which it stands in for another one, and then the numbers that
-- the main part says (8 bytes each). All numbers little-endian.
--
-- A counter's time never runs backwards: it is the later of the clock and what the counter holds.
-- Waits are told on the clock. `meter.py` and `buckets.py` in `authz_service/core` say the same in
-- Python.

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
    used = used,
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

-- The start that a tally was counted under last, its count, and its time.
local function read_tally(key)
  local value = redis.call('GET', key)
  local since, used = 0, 0
  if value then
    since, used = unpack_number('<I8I8', value)
  end
  return since, used, math.max(now, since)
end

-- The numbers that are remembered under `key`; nil if there are none any more.
local function recall(key)
  local value = redis.call('GET', key)
  if not value then
    return nil
  end
  local numbers = {unpack_number('<' .. string.rep('I8', #value / 8), value)}
  numbers[#numbers] = nil -- it is where unpacking stopped
  if now >= table.remove(numbers, 1) then
    return nil
  end
  return numbers
end

local function remember(key, numbers)
  local stop = now + REMEMBERED
  local value = pack_number('<I8' .. string.rep('I8', #numbers), stop, unpack(numbers))
  redis.call('SET', key, value, 'PXAT', stop)
end
