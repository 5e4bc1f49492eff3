-- The shared ledger inside Redis: what botkit/live/ledger.py does, message for message, atomic because Redis runs one
-- script at a time. Times are microseconds: doubles hold them exactly until the year 2255.
--
-- KEYS[1]: prefix of every key, with a hash tag, so that a cluster keeps the whole ledger on one node.
-- ARGV[1]: the message as JSON. ARGV[2]: the id of a new ledger. ARGV[3]: the time, for tests; '' reads the server's.
--
--   <p>        hash    id, run (of the server process), now (latest time seen), distrusted
--   <p>:h      zset    holder -> last heard
--   <p>:h:H    hash    pools (JSON), number, reply (JSON), and leased slots by place of the pool: l0, l1, ...
--   <p>:w:K    hash    a window: requests, per_us, hold, blocked, virtual, earliest, limit, restore, leased
--   <p>:s:K    zset    slots that are not leased -> when they come free
--   <p>:q:K    hash    holder -> "since:asked" of those who wait
local P, message = KEYS[1], cjson.decode(ARGV[1])
local DEAD_AFTER, PATIENCE, UNKNOWN_RETRY, BEHIND_OTHERS_RETRY = 5000000, 150000, 50000, 5000
local LEAST_PACED, LEAST_BURST, BURST_DIVISOR = 20, 5, 20
local floor, max, min = math.floor, math.max, math.min

local function text(number) return string.format('%.0f', number) end

local function clock()
  if ARGV[3] ~= '' then return tonumber(ARGV[3]) end
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

local function run_id()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
end

-- a clock that is set back holds slots longer, never shorter
local now = max(clock(), tonumber(redis.call('HGET', P, 'now') or '0'))
redis.call('HSET', P, 'now', text(now))

local windows = {}  -- those that this call has looked at

local function window_of(shared)
  local key = shared[1]
  local w = windows[key]
  if w then return w end
  w = {key = key, requests = shared[2], per = shared[3] * 1000000, hold = shared[4]}
  local stored = redis.call('HMGET', P .. ':w:' .. key, 'blocked', 'virtual', 'earliest', 'limit', 'restore', 'leased')
  w.blocked = tonumber(stored[1] or '0')
  w.virtual = tonumber(stored[2] or '0')
  w.earliest = tonumber(stored[3] or '0')
  w.limit = tonumber(stored[4] or w.requests)
  w.restore = tonumber(stored[5] or '0')
  w.leased = tonumber(stored[6] or '0')
  if not stored[6] then
    local distrusted = redis.call('HGET', P, 'distrusted')
    if distrusted then w.blocked = tonumber(distrusted) + w.hold end
    redis.call('SADD', P .. ':k', cjson.encode(shared))
  end
  w.slots = P .. ':s:' .. key
  w.waiters = P .. ':q:' .. key
  redis.call('ZREMRANGEBYSCORE', w.slots, '-inf', text(now))
  w.cooling = redis.call('ZCARD', w.slots)
  while w.restore > 0 and w.restore <= now do
    w.limit = min(w.requests, w.limit + max(1, floor(w.requests / 20)))
    w.restore = w.limit < w.requests and w.restore + w.per or 0
  end
  if w.requests >= LEAST_PACED then
    w.interval = floor(w.per / w.requests)
    w.tolerance = max(LEAST_BURST, floor(w.requests / BURST_DIVISOR)) * w.interval - 1
  end
  windows[key] = w
  return w
end

local function store(w)
  redis.call('HSET', P .. ':w:' .. w.key, 'blocked', text(w.blocked), 'virtual', text(w.virtual),
    'earliest', text(w.earliest), 'limit', text(w.limit), 'restore', text(w.restore), 'leased', text(w.leased))
end

local function put(w, member, free_at)
  w.cooling = w.cooling + redis.call('ZADD', w.slots, text(free_at), member)
end

local function free(w)
  if now < w.blocked then return 0 end
  return w.limit - w.leased - w.cooling
end

local function fresh() return '*' .. text(redis.call('HINCRBY', P, 'next', 1)) end

local function block_all()
  redis.call('HSET', P, 'distrusted', text(now))
  for _, encoded in ipairs(redis.call('SMEMBERS', P .. ':k')) do
    local w = window_of(cjson.decode(encoded))
    w.blocked = max(w.blocked, now + w.hold)
  end
end

-- `sent`: what a successor knows to have been sent (see `Leave`); nil: all that was leased may have been
local function finish(holder, sent)
  local h = P .. ':h:' .. holder
  local pools = redis.call('HGET', h, 'pools')
  if pools then
    for place, pool in ipairs(cjson.decode(pools)) do
      local leased = tonumber(redis.call('HGET', h, 'l' .. (place - 1)) or '0')
      local late = sent and sent[pool[1]] or {}
      if sent then table.sort(late, function(a, b) return a > b end) end
      for _, shared in ipairs(pool[4]) do
        local w = window_of(shared)
        redis.call('HDEL', w.waiters, holder)
        w.leased = w.leased - leased
        for i = 1, sent and min(leased, #late) or leased do
          put(w, fresh(), now + (sent and late[i] or pool[2]) + w.hold)
        end
      end
    end
  end
  redis.call('DEL', h)
  redis.call('ZREM', P .. ':h', holder)
end

local function waits_since(w, holder)
  local waits = redis.call('HGET', w.waiters, holder)
  if not waits then return now end
  local since, asked = string.match(waits, '(%d+):(%d+)')
  return tonumber(asked) + PATIENCE > now and tonumber(since) or now
end

local function owed_before(w, holder)
  local own, owed = nil, 0
  local all = redis.call('HGETALL', w.waiters)
  for i = 1, #all, 2 do
    if all[i] ~= holder then
      own = own or waits_since(w, holder)
      local since, asked = string.match(all[i + 1], '(%d+):(%d+)')
      if tonumber(since) < own and tonumber(asked) + PATIENCE > now then owed = owed + 1 end
    end
  end
  return owed
end

local function most_owed(ws, holder)
  local owed = 0
  for _, w in ipairs(ws) do owed = max(owed, owed_before(w, holder)) end
  return owed
end

local function next_release(w)
  local first = redis.call('ZRANGE', w.slots, 0, 0, 'WITHSCORES')
  return first[2] and min(max(now, tonumber(first[2])), now + w.hold) or now + w.hold
end

local function pace(w, left)
  local step = max(w.interval, floor((next_release(w) - now) / (left + 1)))
  w.virtual = max(w.virtual, now) + step
  w.earliest = w.virtual - w.tolerance
end

local function grant(ws, holder, wanted, kept, urgent)
  local granted = 0
  if wanted > 0 then kept = kept + most_owed(ws, holder) end
  while granted < wanted do
    local least = math.huge
    for _, w in ipairs(ws) do
      local room = free(w)
      if room <= kept or (not urgent and w.interval and w.earliest > now) then return granted end
      least = min(least, room)
    end
    for _, w in ipairs(ws) do
      w.leased = w.leased + 1
      if not urgent and w.interval then pace(w, least - kept - 1) end
    end
    granted = granted + 1
  end
  return granted
end

-- when `needed` slots are free; nil: only an answer can bring it
local function open_at(w, needed, urgent)
  local missing, at = needed - (w.limit - w.leased - w.cooling), now
  if missing > 0 then
    local limit, restore, step = w.limit, w.restore, max(1, floor(w.requests / 20))
    local frees = redis.call('ZRANGE', w.slots, 0, missing - 1, 'WITHSCORES')
    local i, found = 1, nil
    while not found do
      local slot = frees[2 * i] and tonumber(frees[2 * i])
      if restore > 0 and (not slot or restore <= slot) then
        missing = missing - min(step, w.requests - limit)
        limit = min(w.requests, limit + step)
        if missing <= 0 then found = restore end
        restore = limit < w.requests and restore + w.per or 0
      elseif slot then
        missing = missing - 1
        if missing <= 0 then found = slot end
        i = i + 1
      else
        return nil
      end
    end
    at = found
  end
  if not urgent and w.interval then at = max(at, w.earliest) end
  return max(at, w.blocked)
end

local function windows_of(pool)
  local ws = {}
  for i, shared in ipairs(pool[4]) do ws[i] = window_of(shared) end
  return ws
end

local function take_report(holder, h, pool, ws, report)
  redis.call('HINCRBY', h, 'l' .. report[1], 0 - (report[2] + #report[3] + #report[4]))
  for _, w in ipairs(ws) do
    w.leased = w.leased - (report[2] + #report[3] + #report[4])
    for _, age in ipairs(report[3]) do put(w, fresh(), now - age + w.hold) end
    for _, l in ipairs(report[4]) do put(w, holder .. ':' .. text(l[1]), now + l[2] + w.hold) end
    for _, l in ipairs(report[5]) do put(w, holder .. ':' .. text(l[1]), now + l[2] + w.hold) end
    for _, l in ipairs(report[6]) do
      redis.call('ZADD', w.slots, 'XX', 'LT', text(now + l[2] + w.hold), holder .. ':' .. text(l[1]))
    end
    redis.call('ZREMRANGEBYSCORE', w.slots, '-inf', text(now))
    w.cooling = redis.call('ZCARD', w.slots)
    if report[7] then
      w.limit = max(max(1, floor(w.requests / 4)), floor(w.limit * 4 / 5))
      w.restore = w.limit < w.requests and now + w.per or 0
    end
  end
end

local function note_wait(holder, pool, ws, report, urgent, plain, retry)
  local misses_urgent = urgent < report[9]
  if not misses_urgent and plain >= report[8] then
    for _, w in ipairs(ws) do redis.call('HDEL', w.waiters, holder) end
    return
  end
  local at, owed = now, false
  for _, w in ipairs(ws) do
    local since = urgent + plain > 0 and now or waits_since(w, holder)
    redis.call('HSET', w.waiters, holder, text(since) .. ':' .. text(now))
  end
  for _, w in ipairs(ws) do
    local open = open_at(w, misses_urgent and 1 or 1 + pool[3], misses_urgent)
    at = at and open and max(at, open)
    owed = owed or owed_before(w, holder) > 0
  end
  local wait = at and at - now + 1 or UNKNOWN_RETRY
  if owed then wait = max(wait, BEHIND_OTHERS_RETRY) end
  retry[#retry + 1] = {report[1], wait}
end

local id = redis.call('HGET', P, 'id')
local run = run_id()
if not id or redis.call('HGET', P, 'run') ~= run then
  -- nothing tells a new ledger from one that was lost, and a server that was restarted may have forgotten the latest
  id = ARGV[2]
  redis.call('HSET', P, 'id', id, 'run', run)
  for _, name in ipairs(redis.call('ZRANGE', P .. ':h', 0, -1)) do finish(name) end  -- they join anew
  block_all()
end

local kind, holder = message[1], message[2]
for _, silent in ipairs(redis.call('ZRANGEBYSCORE', P .. ':h', '-inf', '(' .. text(now - DEAD_AFTER))) do
  if ARGV[3] == '' then finish(silent) end
end

local reply = {'ok', id, now, 0, {}, {}, {}, 0}
local h = P .. ':h:' .. (holder or '')

if kind == 'Join' then
  if redis.call('EXISTS', h) == 1 then finish(holder) end
  redis.call('HSET', h, 'pools', cjson.encode(message[4]), 'number', 0)
  redis.call('ZADD', P .. ':h', text(now), holder)
  for _, pool in ipairs(message[4]) do
    for _, w in ipairs(windows_of(pool)) do
      if message[3] ~= '' and message[3] ~= id then w.blocked = max(w.blocked, now + w.hold) end
    end
  end
elseif kind == 'Leave' then
  finish(holder, message[3] ~= cjson.null and message[3] or nil)
elseif kind == 'Sync' then
  local stored = redis.call('HMGET', h, 'pools', 'number', 'reply')
  if not stored[1] then
    reply[1] = 'unknown holder'
  else
    redis.call('ZADD', P .. ':h', text(now), holder)
    local number, pools = tonumber(stored[2]), cjson.decode(stored[1])
    if message[3] == number and stored[3] then return stored[3] end
    local wrong = message[3] <= number
    for _, report in ipairs(message[4]) do
      local leased = tonumber(redis.call('HGET', h, 'l' .. report[1]) or '0')
      wrong = wrong or report[2] + #report[3] + #report[4] > leased
    end
    if wrong then
      finish(holder)
      reply[1] = 'unknown holder'
    else
      if message[5] then block_all() end
      for _, report in ipairs(message[4]) do
        local pool = pools[report[1] + 1]
        take_report(holder, h, pool, windows_of(pool), report)
      end
      for _, report in ipairs(message[4]) do
        local pool = pools[report[1] + 1]
        local ws = windows_of(pool)
        local urgent = grant(ws, holder, report[9], 0, true)
        local plain = grant(ws, holder, report[8], pool[3], false)
        if urgent + plain > 0 then
          redis.call('HINCRBY', h, 'l' .. report[1], urgent + plain)
          table.insert(reply[5], {report[1], urgent + plain})
        end
        note_wait(holder, pool, ws, report, urgent, plain, reply[6])
      end
      for _, pool in ipairs(pools) do
        for _, w in ipairs(windows_of(pool)) do reply[8] = max(reply[8], w.blocked - now) end
      end
      reply[4] = message[3]
    end
  end
else
  local sharing = {}
  for _, name in ipairs(redis.call('ZRANGE', P .. ':h', 0, -1)) do
    for _, pool in ipairs(cjson.decode(redis.call('HGET', P .. ':h:' .. name, 'pools') or '[]')) do
      for _, shared in ipairs(pool[4]) do sharing[shared[1]] = (sharing[shared[1]] or 0) + 1 end
    end
  end
  for _, encoded in ipairs(redis.call('SMEMBERS', P .. ':k')) do
    local w = window_of(cjson.decode(encoded))
    table.insert(reply[7], {w.key, w.requests, floor(w.per / 1000000), w.leased, w.leased + w.cooling, w.limit,
      sharing[w.key] or 0})
  end
end

for _, w in pairs(windows) do store(w) end

-- by hand, since an empty table is an object to cjson, and large numbers lose digits there
local function rows(list)
  local parts = {}
  for i, row in ipairs(list) do
    local cells = {}
    for j, cell in ipairs(row) do cells[j] = type(cell) == 'number' and text(cell) or cjson.encode(cell) end
    parts[i] = '[' .. table.concat(cells, ',') .. ']'
  end
  return '[' .. table.concat(parts, ',') .. ']'
end
local encoded = '["' .. reply[1] .. '","' .. reply[2] .. '",' .. text(reply[3]) .. ',' .. text(reply[4]) .. ','
  .. rows(reply[5]) .. ',' .. rows(reply[6]) .. ',' .. rows(reply[7]) .. ',' .. text(reply[8]) .. ']'
if kind == 'Sync' and reply[1] == 'ok' then
  redis.call('HSET', h, 'number', message[3], 'reply', encoded)
end
return encoded
