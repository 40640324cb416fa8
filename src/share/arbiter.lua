-- SPDX-License-Identifier: BSD-3-Clause
--
-- src/throttle for one sender that several relays share: the same rules, in the
-- same order, under the server's clock. tests/unit/test_arbiter_oracle.c holds
-- the two against each other. Paper's rules are the papers' own: what is free
-- in the working set is the allowance. What src/gate/credit.c and networks.c
-- count about the sender is here too, and who is to wait for it does.
--
-- Familiar recipients have a limiter of their own: the same script on other
-- keys. Whom it lets go is from then on no stranger either.
--
-- KEYS: state, queue, what waits by destination (one hash tag); for familiar
-- recipients also the state of strangers.
-- ARGV: 1 policy (doubles), 2 relay (8 bytes), 3 frozen there (0, 1; 2: thawed now), 4
-- what passed without being asked for, 5 allowance and time to the tick for a
-- server that knows nothing, "" if that shall be told, 6 ages of passes for it,
-- 7 seconds of a lease, 8 the time ("": the server's), 9 rules of signals, "+"
-- before them if an operation is about signals, then threes of operation,
-- destination (8 bytes; a network: 16; K: credit as the relay knows it), id (K:
-- its networks). An entry of the queue: relay, destination, id (8 bytes each),
-- blast.

local floor, ceil, sub, cat = math.floor, math.ceil, string.sub, table.concat
local pack, unpack_d = struct.pack, struct.unpack
local NEVER, LONG_AGO = math.huge, -math.huge
local PASS, HOLD, REFUSE = 0, 1, 2
local KNOWN, NEW, QUEUED, LIMITED, BARRED, FROZEN, FULL = 0, 1, 2, 3, 4, 5, 6
local LENGTH, GROWTH = 1, 2

local set_max, interval, burst, initial, freeze_at, growth, growth_window,
  queue_max, flags, after = unpack_d('>ddddddddd', ARGV[1])
local holds_frozen, spared, paper = flags % 2 == 1, flags % 4 > 1, flags > 3
local limits, keep = {}, 0
while after <= #ARGV[1] do
  local count, window
  count, window, after = unpack_d('>dd', ARGV[1], after)
  limits[#limits + 1] = {count, window}
  if count > keep then keep = count end
end
local relay, lease = ARGV[2], tonumber(ARGV[7]) * 1000

local now = tonumber(ARGV[8])
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000 + floor(tonumber(t[2]) / 1000)
end

local S, waiting, held, passing, froze, grants
local M, is_met -- of strangers; it has changed
do
  local text = redis.call('GET', KEYS[1])
  local strangers = KEYS[4] and redis.call('GET', KEYS[4])
  if strangers then M = cmsgpack.unpack(strangers) end
  if (not text or KEYS[4] and not M) and ARGV[5] == '' then return {0} end
  if text then
    S = cmsgpack.unpack(text)
  else
    redis.call('DEL', KEYS[2], KEYS[3])
    S = {a = paper and 0 or initial, t = 0, w = '', p = '', g = '', n = now, r = {}, h = {},
      m = {}, o = {}, u = {}}
  end
  if S.n > now then now = S.n end
  S.n = now
  waiting, held, passing, froze, grants = redis.call('LLEN', KEYS[2]), 0, 0, 0, {}
  for _, r in pairs(S.r) do
    if r[1] == HOLD then held = held + 1 else passing = passing + 1 end
  end
end

-- ---- rings of moments ----

local function add_time(ring, most, at)
  ring = ring .. pack('>d', at)
  if #ring > 8 * most then ring = sub(ring, -8 * most) end
  return ring
end
local function latest(ring, k)
  return (unpack_d('>d', ring, #ring - 8 * k + 1))
end
local function count_after(ring, since)
  local count = 0
  while 8 * count < #ring and latest(ring, count + 1) > since do
    count = count + 1
  end
  return count
end

-- ---- the working set ----

local function find_in(set, dest)
  local at = string.find(set, dest, 1, true)
  while at and at % 8 ~= 1 do at = string.find(set, dest, at + 1, true) end
  return at
end
local function with(set, dest, most)
  local at = find_in(set, dest)
  if at then return sub(set, 1, at - 1) .. sub(set, at + 8) .. dest end
  if #set >= 8 * most then set = sub(set, #set - 8 * most + 9) end
  return set .. dest
end
local function find(dest)
  return find_in(S.w, dest) or M and find_in(M.w, dest)
end
local function learn(dest)
  S.w = with(S.w, dest, set_max)
  if M then M.w, is_met = with(M.w, dest, M.z), true end
end

-- ---- limit windows ----

local function room_at(limit, m, reserved_opens)
  local k = limit[1] - m + 1
  if k <= passing then return reserved_opens end
  k = k - passing
  if 8 * k > #S.p then return LONG_AGO end
  return latest(S.p, k) + limit[2]
end
local function limits_open_at()
  local open, which = LONG_AGO, 0
  for i, limit in ipairs(limits) do
    if limit[1] > 0 then
      local at = room_at(limit, 1, NEVER)
      if at > open then open, which = at, i - 1 end
    end
  end
  return open, which
end
local function limits_bound(count)
  local bound = now
  for _, limit in ipairs(limits) do
    if limit[1] > 0 then
      local at = room_at(limit, (count - 1) % limit[1] + 1, now + limit[2])
      if at < now then at = now end
      at = at + floor((count - 1) / limit[1]) * limit[2]
      if at > bound then bound = at end
    end
  end
  return bound
end
local function note_pass(at)
  if keep > 0 then S.p = add_time(S.p, keep, at) end
end

-- ---- what waits ----

local function largest_blast()
  local largest
  for _, b in ipairs(S.u) do
    if b[1] > (largest and largest[1] or 0) then largest = b end
  end
  return largest
end
local function own_waiting()
  if waiting == 0 or paper then return waiting end
  local own, blast = waiting, largest_blast()
  if blast then own = own - blast[1] end
  if S.b then own = own > S.a and own - S.a or 0 end
  return own
end
local function is_long()
  return freeze_at > 0 and own_waiting() >= freeze_at
end
local function entry_gone(entry)
  local of, blast = sub(entry, 1, 8), string.byte(entry, 25)
  if blast > 0 and S.u[blast] then S.u[blast][1] = S.u[blast][1] - 1 end
  S.m[of] = S.m[of] and S.m[of] > 1 and S.m[of] - 1 or nil
  waiting = waiting - 1
  if redis.call('HINCRBY', KEYS[3], sub(entry, 9, 16), -1) <= 0 then
    redis.call('HDEL', KEYS[3], sub(entry, 9, 16))
  end
end
local function if_empty()
  if waiting == 0 then S.u, S.b, S.bu = {}, nil, nil end
end
local function let_go(entry)
  local of, id = sub(entry, 1, 8), sub(entry, 17, 24)
  entry_gone(entry)
  if of == relay then
    grants[#grants + 1] = id
  elseif #(S.o[of] or '') < 32768 then
    S.o[of] = (S.o[of] or '') .. id
  end
end
local function let_head_go(at)
  local head = redis.call('LPOP', KEYS[2])
  local dest = sub(head, 9, 16)
  local same = tonumber(redis.call('HGET', KEYS[3], dest) or '1')
  let_go(head)
  if same > 1 then
    for _, e in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
      if sub(e, 9, 16) == dest then
        redis.call('LREM', KEYS[2], 1, e)
        let_go(e)
      end
    end
  end
  learn(dest)
  note_pass(at)
end
local function ahead_of(dest)
  if redis.call('HEXISTS', KEYS[3], dest) == 0 then
    return redis.call('HLEN', KEYS[3]) + held
  end
  local seen, count = {}, 0
  for _, e in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
    local d = sub(e, 9, 16)
    if d == dest then return count end
    if not seen[d] then seen[d], count = true, count + 1 end
  end
  return count
end

-- ---- the limiter ----

local function is_full() return not paper and S.a + passing >= burst end
local function room()
  if not paper then return S.a end
  local free = set_max - #S.w / 8 - passing
  return free > 0 and free or 0
end
local function wake_at(at)
  if not S.t and (not is_full() or (burst == 0 and waiting > 0)) then
    S.t = at + interval
  end
end
local function wake() wake_at(now) end
-- Members that are nobody.
local function fill(count)
  if count > 0 then S.w = string.rep('\0', 8 * count) .. S.w end
end
local function tick_from(at)
  if S.t >= at then return S.t end
  return S.t + ceil((at - S.t) / interval) * interval
end
local function tick_releases()
  return S.t and (burst == 0 or not is_full())
end
local function next_move(from)
  if S.f or waiting == 0 then return NEVER end
  local open, move = limits_open_at(), NEVER
  if open == NEVER then return NEVER end
  if S.b and S.bu > open then open = S.bu end
  if S.a > 0 then move = open > from and open or from end
  if tick_releases() then
    local tick = tick_from(open)
    if tick < move then move = tick end
  end
  return move
end
local function advance(from)
  local at = next_move(from)
  while at <= now do
    if tick_releases() and tick_from(at) == at then
      S.t = at + interval
    else
      if S.t then S.t = tick_from(at) end
      S.a = S.a - 1
      wake_at(at)
    end
    let_head_go(at)
    at = next_move(from)
  end
  if not S.t or S.t > now then return end
  local ticks = floor((now - S.t) / interval) + 1
  S.t = S.t + ticks * interval
  if S.f or waiting > 0 then return end
  if paper then
    if #S.w >= 8 * set_max then S.w = sub(S.w, 9) end
    return
  end
  local missing = is_full() and 0 or burst - S.a - passing
  if ticks >= missing then ticks, S.t = missing, nil end
  S.a = S.a + ticks
end
local function settle()
  advance(now)
  if_empty()
end
local function take()
  if not paper then S.a = S.a - 1 end
  passing = passing + 1
end
local function give_back()
  passing = passing - 1
  if not paper and not is_full() then S.a = S.a + 1 end
end
local function due_of(dest)
  local ahead = ahead_of(dest)
  local due = limits_bound(ahead + 1)
  if ahead < S.a then return due end
  local tick = (S.t or now + interval) + (ahead - S.a) * interval
  if tick < due then
    tick = tick + ceil((due - tick) / interval) * interval
  end
  return tick
end

-- ---- requests ----

local function hold(reason, due)
  if S.x and not holds_frozen and not S.f and not spared and is_long() or
      waiting + held >= queue_max then
    return REFUSE, FULL, now
  end
  return HOLD, reason, due
end
local out
local as_path -- may be the sender's home
local function reserve(dest, id, always)
  local which, verdict, reason, due = 0, PASS, KNOWN, now
  local length = waiting + held
  if paper then wake() end
  if as_path and as_path == dest and S.e == dest then
    as_path = nil
  elseif S.f then
    if holds_frozen or always then
      verdict, reason, due = hold(FROZEN, NEVER)
    else
      verdict, reason = REFUSE, FROZEN
    end
  elseif not find(dest) then
    local open, index = limits_open_at()
    local full = open > now
    if full then which = index end
    if not full and waiting == 0 and held == 0 and room() > 0 then
      reason = NEW
    else
      verdict, reason, due = hold(full and LIMITED or QUEUED, due_of(dest))
      if verdict == HOLD and S.b and due < S.bu then due = S.bu end
    end
  end
  if verdict == HOLD then
    held = held + 1
    S.r[id] = {HOLD, now + lease}
  elseif verdict == PASS and reason == NEW then
    take()
    S.r[id] = {PASS, now + lease}
  end
  local at = #out
  out[at + 1], out[at + 2], out[at + 3] = verdict, reason, which
  out[at + 4], out[at + 5] = length, due == NEVER and -1 or due - now
end
local function spend(at)
  passing = passing - 1
  wake()
  note_pass(at)
end
local function commit_pass(dest, id)
  local r = S.r[id]
  if paper then wake() end
  S.r[id] = nil
  if r and r[1] == PASS then
    if find_in(S.w, dest) then give_back() else spend(now) end
  end
  learn(dest)
end
local function cancel(id)
  local r = S.r[id]
  if not r then return end
  S.r[id] = nil
  if r[1] == HOLD then held = held - 1 else give_back() end
end
-- Whoever might pass waits, and takes what is left of the allowance with it.
local function reserve_last(dest, id, always)
  local at = #out
  reserve(dest, id, always)
  if out[at + 2] ~= NEW and out[at + 2] ~= QUEUED then return end
  for _ = 1, 5 do out[#out] = nil end
  cancel(id)
  settle()
  S.a = 0
  if paper then fill(set_max - #S.w / 8) end
  wake()
  settle()
  reserve(dest, id, always)
end
local blast_open, blast = false, 0
local function detect()
  if is_long() and not S.x then return LENGTH end
  if growth > 0 then
    local since = now - growth_window
    local count, largest = count_after(S.g, since), largest_blast()
    for _, b in ipairs(S.u) do
      if b[1] > 0 and (b[3] or LONG_AGO) > since then count = count + b[2] end
    end
    if largest and (largest[3] or LONG_AGO) > since then
      count = count - largest[2]
    end
    if count >= growth then return GROWTH end
  end
  return 0
end
local function push(dest, id, number)
  redis.call('RPUSH', KEYS[2], relay .. dest .. id .. string.char(number))
  redis.call('HINCRBY', KEYS[3], dest, 1)
  waiting = waiting + 1
  S.m[relay] = (S.m[relay] or 0) + 1
end
local function append(dest, id, counts)
  if paper then wake() end
  if not is_long() then S.x = nil end
  local number = 0
  if blast_open and not paper then
    if blast == 0 or not S.u[blast] then
      local i = 1
      while S.u[i] and S.u[i][1] > 0 do i = i + 1 end
      blast = i <= 255 and i or 0
      if blast > 0 then S.u[blast] = {0, 0, counts and now or nil} end
    end
    number = blast
  end
  if number > 0 then
    S.u[number][1] = S.u[number][1] + 1
    S.u[number][2] = S.u[number][2] + 1
  end
  push(dest, id, number)
  if number == 0 and counts and growth > 0 then
    S.g = add_time(S.g, growth, now)
  end
end
local function end_append()
  wake()
  if not S.f then
    local reason = detect()
    if reason ~= 0 and not spared then
      froze, S.f, S.ft = reason, true, now
      return if_empty()
    end
  end
  settle()
end
local function freeze()
  if S.f then return end
  advance(LONG_AGO)
  S.f = true
end
local function thaw()
  if not S.f then return end
  advance(LONG_AGO)
  S.f, S.ft, S.g = nil, nil, ''
  S.x = is_long() or nil
  for _, b in ipairs(S.u) do b[3] = nil end
  wake()
  settle()
end

-- What this relay really has: the rest goes, what is missing comes to the end.
local function join(list)
  local has, mine = {}, 0
  for i = 1, #list, 8 do
    local id = sub(list, i, i + 7)
    has[id] = (has[id] or 0) + 1
  end
  for _, e in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
    if sub(e, 1, 8) == relay then
      local id = sub(e, 17, 24)
      if (has[id] or 0) > 0 then
        has[id], mine = has[id] - 1, mine + 1
      else
        redis.call('LREM', KEYS[2], 1, e)
        entry_gone(e)
      end
    end
  end
  S.m[relay] = mine > 0 and mine or nil -- the queue may have been evicted
  for i = 1, #list, 8 do
    local id = sub(list, i, i + 7)
    if has[id] > 0 then
      has[id] = has[id] - 1
      push(id, id, 0)
    end
  end
  if is_long() then S.x = true end
  wake()
  settle()
end

-- ---- signals ----

-- Of credit: S.c = {left, until when time has given, empty since (false: it is
-- not), refused at, destinations refused lately}; of networks: S.k, entries of
-- name (16 bytes), whether it is learnt, since, last used; S.kt: told that there
-- are too many.
local DAY = 86400000
local PART, WHOLE, PAUSE_MIN, RECENT = 3000, 7 * DAY, 60000, 32
local EXPIRY, NEW_MAX, LEARNT_MAX, ENTRY = 90 * DAY, 40, 56, 33
local network, results = '', ''
local signals -- functions, for those who need them
if S.c or S.k or sub(ARGV[9], 1, 1) == '+' then
  signals = {}
  local v = {}
  for word in string.gmatch(ARGV[9], '%d+') do v[#v + 1] = tonumber(word) end
  local credit, freeze_ms, most_new, window = v[1], v[2], v[3], v[4]
  local most = credit * PART
  local nets, is_changed

  local function end_empty()
    local quarter = floor(most / 4)
    if S.c[1] < quarter then S.c[1] = quarter end
    S.c[3] = false
  end
  local function gain()
    S.c = S.c or {most, now, false, 0, ''}
    local c = S.c
    if c[1] > most then c[1] = most end
    if now > c[2] and most > 0 then
      local part_ms = floor(WHOLE / most)
      if part_ms < 1 then part_ms = 1 end
      local gained = floor((now - c[2]) / part_ms)
      c[2] = c[2] + gained * part_ms
      c[1] = gained > most - c[1] and most or c[1] + gained
      if c[1] == most then c[2] = now end
    end
    local pause = floor(freeze_ms / 4)
    if pause < PAUSE_MIN then pause = PAUSE_MIN end
    if c[3] and (c[1] >= floor(most / 4) or now - c[4] >= pause) then
      end_empty()
    end
    return c
  end
  local function cost()
    local c = S.c
    c[1] = c[1] > PART and c[1] - PART or 0
    c[4] = now
    if not c[3] and c[1] > 0 then return 1 end
    if not c[3] then
      c[3] = now
      return 2
    end
    if freeze_ms == 0 or now - c[3] < freeze_ms then return 1 end
    end_empty()
    return 3
  end
  function signals.refused(dest, hearsay)
    if credit == 0 then return 0 end
    local c = gain()
    if find_in(c[5], dest) then return 0 end
    c[5] = c[5] .. dest
    if #c[5] > 8 * RECENT then c[5] = sub(c[5], 9) end
    if not hearsay then return cost() end
    if c[3] or c[1] < 2 * PART then return 0 end
    c[1] = c[1] - PART
    return 1
  end
  function signals.delivered()
    if credit == 0 or not S.c then return end
    local c = gain()
    c[1] = c[1] + PART / 3
    gain()
  end
  function signals.is_empty()
    return credit > 0 and S.c and gain()[3]
  end
  -- The smaller credit counts.
  function signals.join_credit(text)
    local left, empty, refused = string.match(text, '^(%d+) (-?%d+) (%d+)$')
    if credit == 0 or not left then return end
    left, empty = tonumber(left), tonumber(empty)
    local c = gain()
    if left < c[1] then c[1] = left end
    if empty >= 0 and not c[3] then
      c[3], c[4] = now - empty, now - tonumber(refused)
    end
    gain()
  end

  local function load()
    if nets then return end
    nets = {}
    local text = S.k or ''
    for i = 1, #text, ENTRY do
      local since, last = unpack_d('>dd', text, i + 17)
      nets[#nets + 1] = {sub(text, i, i + 15), sub(text, i + 16, i + 16) == '1',
        since, last}
    end
  end
  local function drop(i)
    nets[i] = nets[#nets]
    nets[#nets] = nil
  end
  local function find_net(name)
    for _, e in ipairs(nets) do if e[1] == name then return e end end
  end
  local function make_room(learnt, max)
    local count, oldest = 0, 0
    for i, e in ipairs(nets) do
      if e[2] == learnt then
        if count == 0 or e[4] < nets[oldest][4] then oldest = i end
        count = count + 1
      end
    end
    if count >= max then drop(oldest) end
  end
  local function count_new()
    local count = 0
    for _, e in ipairs(nets) do
      if not e[2] and now - e[4] < window then count = count + 1 end
    end
    return count
  end
  local function expire()
    for i = #nets, 1, -1 do
      if now - nets[i][4] >= EXPIRY then drop(i) end
    end
  end
  function signals.use(name)
    if most_new == 0 then return 0 end
    load()
    is_changed = true
    expire()
    local e = find_net(name)
    if not e then
      make_room(false, NEW_MAX)
      e = {name, false, now, now}
      nets[#nets + 1] = e
    end
    if now > e[4] then e[4] = now end
    if e[2] then return 0 end
    local was = S.kt
    S.kt = count_new() > most_new or nil
    if S.kt then
      for _, o in ipairs(nets) do
        if not o[2] and now - o[4] < window then o[3] = now end
      end
      return was and 2 or 3
    end
    if now - e[3] < DAY then return 1 end
    make_room(true, LEARNT_MAX)
    e[2] = true
    return 0
  end
  function signals.are_many(name)
    if most_new == 0 then return false end
    load()
    local count, e = count_new(), find_net(name)
    if e and e[2] then return false end
    if e and now - e[4] < window then return count > most_new end
    return count + 1 > most_new
  end
  function signals.join_networks(text)
    if most_new == 0 or text == '' then return end
    load()
    is_changed = true
    for name, learnt, since, last in string.gmatch(text,
        '(' .. string.rep('.', 16) .. ')([01])(%d+) (%d+) ') do
      since, last = now - tonumber(since), now - tonumber(last)
      learnt = learnt == '1'
      local e = find_net(name)
      if not e then
        make_room(learnt, learnt and LEARNT_MAX or NEW_MAX)
        e = {name, learnt, since, last}
        nets[#nets + 1] = e
      end
      if learnt and not e[2] then
        make_room(true, LEARNT_MAX)
        e[2] = true
      end
      if since < e[3] then e[3] = since end
      if last > e[4] then e[4] = last end
    end
    S.kt = count_new() > most_new or nil
  end
  function signals.tell()
    local at = #out
    out[at + 1], out[at + 2], out[at + 3] = results, '', ''
    if credit > 0 and S.c then
      local c = gain()
      out[at + 2] = cat({c[1], c[3] and now - c[3] or -1, c[3] and now - c[4] or 0},
        ' ')
    end
    if most_new == 0 then S.k, S.kt = nil, nil return end
    if network == '' and not is_changed then return end
    load()
    local kept, told = {}, {}
    for i, e in ipairs(nets) do
      local flag = e[2] and '1' or '0'
      kept[i] = e[1] .. flag .. pack('>dd', e[3], e[4])
      told[i] = cat({e[1], flag, string.format('%.0f %.0f ', now - e[3],
        now - e[4])})
    end
    S.k = #kept > 0 and cat(kept) or nil
    out[at + 3] = (S.kt and '1' or '0') .. cat(told)
  end
end
-- New recipients wait for one of them.
local function is_suspect()
  return S.c and signals.is_empty() or
    S.k and network ~= '' and signals.are_many(network)
end

-- ---- the call ----

local untold = tonumber(ARGV[4])
if ARGV[5] ~= '' and S.t == 0 then
  untold = 0 -- of it
  local a, t = string.match(ARGV[5], '^(%d+) (-?%d+)$')
  S.a = tonumber(a)
  if paper then
    fill(S.a < set_max and set_max - S.a or 0)
    S.a = 0
  elseif S.a > burst then
    S.a = burst
  end
  S.t = tonumber(t) >= 0 and now + tonumber(t) or nil
  for age in string.gmatch(ARGV[6], '%d+') do note_pass(now - tonumber(age)) end
  if not paper then wake() end
elseif S.t == 0 then
  S.t = nil
end
-- Another policy since.
if S.a > burst then S.a = burst end
if paper then S.a = 0 end
if S.t and S.t > now + interval then S.t = now + interval end
if #S.w > 8 * set_max then S.w = sub(S.w, -8 * set_max) end

-- Whose lease is over has gone: what it may have sent counts as sent.
for id, r in pairs(S.r) do
  if r[2] <= now then
    S.r[id] = nil
    if r[1] == HOLD then held = held - 1 else spend(now) end
  end
end
for of, till in pairs(S.h) do
  if till <= now and of ~= relay then
    S.h[of], S.o[of] = nil, nil
    if S.m[of] then
      for _, e in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
        if sub(e, 1, 8) == of then
          redis.call('LREM', KEYS[2], 1, e)
          entry_gone(e)
        end
      end
    end
  end
end
if_empty()

-- What the script itself found is not undone by a relay that has not heard yet.
if ARGV[3] == '1' then
  freeze()
  S.ft = nil
elseif ARGV[3] == '2' or not S.ft or now - S.ft >= 2000 then
  thaw()
end
advance(LONG_AGO)
if_empty()
-- All at once: it may be thousands, and the server does nothing else meanwhile.
if untold > 0 then
  if paper then
    fill(untold < room() and untold or room())
  else
    S.a = S.a > untold and S.a - untold or 0
  end
  if keep > 0 then
    local count = untold < keep and untold or keep
    S.p = sub(S.p .. string.rep(pack('>d', now), count), -8 * keep)
  end
  wake()
end
out = {1, 0, 0, 0, 0, 0, 0, 0, ''}
local suspect = signals and is_suspect()
for i = 10, #ARGV, 3 do
  local what, dest, id = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if what == 'R' then (suspect and reserve_last or reserve)(dest, id, false)
  elseif what == 'H' then (suspect and reserve_last or reserve)(dest, id, true)
  elseif what == 'r' then reserve_last(dest, id, false)
  elseif what == 'h' then reserve_last(dest, id, true)
  elseif what == 'C' then commit_pass(dest, id) settle()
  elseif what == 'X' then cancel(id) settle()
  elseif what == 'Q' or what == 'b' then
    -- id: of the reservation, then of the request
    cancel(sub(id, 9))
    append(dest, sub(id, 1, 8), true)
    if what == 'b' and not S.b then S.b, S.bu = true, now + 1 end
    end_append()
  elseif what == 'A' then append(dest, id, false) end_append()
  elseif what == 'L' then learn(dest)
  elseif what == 'B' then blast_open, blast = true, 0
  elseif what == 'E' then blast_open = false
  elseif what == 'J' then join(dest)
  elseif what == 'M' or what == 'm' then
    as_path = dest
    if what == 'M' and not S.e then S.e = dest end
  elseif what == 'F' or what == 'f' then
    results = results .. signals.refused(dest, what == 'f')
    suspect = is_suspect()
  elseif what == 'D' then
    signals.delivered()
  elseif what == 'U' then
    results = results .. signals.use(dest)
    suspect = is_suspect()
  elseif what == 'N' then
    network = dest
    suspect = signals and is_suspect()
  elseif what == 'K' then
    signals.join_credit(dest)
    signals.join_networks(id)
    suspect = is_suspect()
  end
end

for i = 1, #(S.o[relay] or ''), 8 do
  grants[#grants + 1] = sub(S.o[relay], i, i + 7)
end
S.o[relay] = nil
S.h[relay] = S.m[relay] and now + lease or nil
local move = next_move(now)
out[2], out[3] = room(), S.t and S.t - now or -1
out[4], out[5], out[6] = waiting, own_waiting(), S.m[relay] or 0
out[7] = move == NEVER and -1 or move - now
out[8], out[9] = froze, cat(grants)
if signals then signals.tell() end

-- As long as it differs from what a server that knows nothing would make of it.
local ttl = ((paper and set_max or burst) + 1) * interval
for _, limit in ipairs(limits) do if limit[2] > ttl then ttl = limit[2] end end
if waiting > 0 or S.f or ttl < DAY then ttl = ttl + DAY end
if S.c and ttl < 2 * WHOLE then ttl = 2 * WHOLE end
if S.e or S.k or ttl > 40 * DAY then ttl = 40 * DAY end
S.z = set_max
redis.call('SET', KEYS[1], cmsgpack.pack(S), 'PX', ttl)
if is_met then
  local left = redis.call('PTTL', KEYS[4])
  redis.call('SET', KEYS[4], cmsgpack.pack(M), 'PX', left > ttl and left or ttl)
end
redis.call('PEXPIRE', KEYS[2], ttl)
redis.call('PEXPIRE', KEYS[3], ttl)
return out
