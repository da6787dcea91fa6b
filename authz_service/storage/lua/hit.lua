-- Count one request at several counters, of different subjects.
--
-- Why a script: whether the request is over its limits is known only once all are read, and nothing
-- may come in between. On a cluster the counters of one call lie in one slot, and the caller sees
-- to the rest.
--
-- KEYS     one counter a hit; the same one may stand there again, with the same window, and
--          counts what came before; last, where the answer to a call that has an id is remembered
-- ARGV     for each key in turn, times in milliseconds, and the limit less what is held elsewhere:
--            'rate', 'buckets' or 'fixed', cost, limit, window, 'refuses', 'quota' or 'shadow'
--          and last, where the call has an id: 'once'; where it only looks, and has none: 'peek'
-- Returns  integers: 1 or 0, whether the request passes, and then six for each key:
--            1 or 0, whether the hit is over its limit
--            what remains, after the hit if it was counted; of 'fixed' after it in any case
--            times from now: until the reset, and how long to wait, 0 when not over
--            how much was counted before the hit
--            the epoch that the hit was counted at, for `refund.lua`
--
-- The request passes unless a hit that refuses is over, or all of those in quota mode are. Rates
-- and buckets count a hit only if the request passes and they have room. Fixed windows count every
-- hit; they begin with the epoch, and are stored as the latest start they were counted under and a
-- count (8 bytes each, little-endian), whose time never runs backwards either. A cost of 0 writes
-- nothing. An answer is remembered if anything was counted: whether the request passes, and then
-- the six of each hit, times as epochs, 0 where none is waited for. `authz_service/core/hits.py`
-- says the same in Python.

local PER_HIT = 5
local NUMBERS = 6
-- Where a fixed window stops counting: the largest number that is exact here.
local MOST = 9007199254740991

local function read_fixed(key, cost, limit, window)
  local since, used, moment = read_tally(key)
  local start = moment - moment % window
  if since < start then
    since, used = start, 0
  end
  local stop = start + window
  local after = math.min(used + cost, MOST)
  return {
    moment = moment,
    since = since,
    stop = stop,
    used = used,
    after = after,
    remaining = math.max(0, limit - after),
    reset = stop - now,
    retry = after > limit and stop - now or 0,
  }
end

local function take_fixed(key, fixed)
  local value = pack_number('<I8I8', fixed.since, fixed.after)
  redis.call('SET', key, value, 'PXAT', fixed.stop + KEPT)
end

local READ = {rate = read_rate, buckets = read_buckets, fixed = read_fixed}
local TAKE = {rate = take_rate, buckets = take_buckets, fixed = take_fixed}

-- The answer that was given under `key`, its times told on the clock as it is now; nil if none.
-- What was over is told as such, and so with a wait.
local function answer_again(key)
  local answer = recall(key)
  for at = 1, answer and #answer - NUMBERS or 0, NUMBERS do
    local retry = answer[at + 4]
    answer[at + 3] = math.max(0, answer[at + 3] - now)
    answer[at + 4] = retry > 0 and math.max(LEAST_WAIT, retry - now) or 0
  end
  return answer
end

local function remember_answer(key, answer)
  local numbers = {unpack(answer)}
  for at = 1, #numbers - NUMBERS, NUMBERS do
    local retry = numbers[at + 4]
    numbers[at + 3] = now + numbers[at + 3]
    numbers[at + 4] = retry > 0 and now + retry or 0
  end
  remember(key, numbers)
end

local once = ARGV[#ARGV] == 'once' and table.remove(KEYS)
local peek = ARGV[#ARGV] == 'peek'
local recalled = once and answer_again(once)
if recalled then
  return recalled
end

local hits, pending = {}, {}
local refused, quotas, quotas_over = false, 0, 0
for index, key in ipairs(KEYS) do
  local at = (index - 1) * PER_HIT
  local kind, says = ARGV[at + 1], ARGV[at + 5]
  local cost, limit, window = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local before = pending[key]
  local counter = READ[kind](key, cost + (before or 0), limit, window)
  local over = counter.retry > 0
  local counts = cost > 0 and (kind == 'fixed' or not over)
  pending[key] = (before or 0) + (counts and cost or 0)
  if says == 'refuses' then
    refused = refused or over
  elseif says == 'quota' then
    quotas = quotas + 1
    quotas_over = quotas_over + (over and 1 or 0)
  end
  hits[index] = {
    key = key,
    kind = kind,
    cost = cost,
    limit = limit,
    window = window,
    counter = counter,
    over = over,
    counts = counts,
    again = before ~= nil,
  }
end
local passes = not refused and (quotas == 0 or quotas_over < quotas)

-- A counter that stands here again is read again, after what came before was written.
local function take(hit)
  if hit.again then
    hit.counter = READ[hit.kind](hit.key, hit.cost, hit.limit, hit.window)
  end
  if not hit.counts then
    return
  end
  TAKE[hit.kind](hit.key, hit.counter)
  if hit.kind ~= 'fixed' then
    hit.counter.remaining = hit.counter.remaining - hit.cost
  end
end

local answer, counted = {passes and 1 or 0}, false
for _, hit in ipairs(hits) do
  if not peek and (passes or hit.kind == 'fixed') then
    take(hit)
    counted = counted or hit.counts
  end
  local counter, at = hit.counter, #answer
  answer[at + 1], answer[at + 2] = hit.over and 1 or 0, counter.remaining
  answer[at + 3], answer[at + 4] = counter.reset, counter.retry
  answer[at + 5], answer[at + 6] = counter.used, counter.moment
end
if once and counted then
  remember_answer(once, answer)
end
return answer
