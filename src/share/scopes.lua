-- SPDX-License-Identifier: BSD-3-Clause
--
-- src/gate/scope.c and window.c for scopes that several relays share: the same
-- rules under the server's clock. tests/unit/test_scopes_oracle.c holds the two
-- against each other.
--
-- KEYS: of each scope that counts (one hash tag for all). ARGV: 1 relay (8
-- bytes), 2 seconds of a lease, 3 the time ("": the server's); threes for each
-- key: limits (count and length), what was used without being asked for, and
-- what a server starts from that knows nothing; then pairs of operation and id.
-- A window as text: age of its newest slot, then number and content of each
-- slot that is not empty; '|' between windows.

local floor, cat = math.floor, table.concat
local SLOTS, AGAIN = 48, 1000
local relay, lease = ARGV[1], tonumber(ARGV[2]) * 1000

local now = tonumber(ARGV[3])
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000 + floor(tonumber(t[2]) / 1000)
end

-- ---- windows ----

local function slot_ms(w)
  return w.l >= SLOTS and floor(w.l / SLOTS) or 1
end
local function new_window(length, newest, used)
  local w = {l = length, t = newest, u = used, s = {}}
  for i = 1, SLOTS + 1 do w.s[i] = 0 end
  w.s[1] = used
  return w
end
local function advance(w)
  local steps = floor((now - w.t) / slot_ms(w))
  if steps <= 0 then return end
  local k = steps > SLOTS and SLOTS + 1 or steps
  for i = SLOTS + 1, 1, -1 do
    if i + k > SLOTS + 1 then w.u = w.u - w.s[i] end
    w.s[i] = i > k and w.s[i - k] or 0
  end
  w.t = w.t + steps * slot_ms(w)
end
local function add(w, count)
  advance(w)
  w.s[1], w.u = w.s[1] + count, w.u + count
end
local function open_at(w)
  local i = SLOTS + 1
  while i > 1 and w.s[i] == 0 do i = i - 1 end
  return w.t + (SLOTS + 2 - i) * slot_ms(w)
end
local function write(w)
  local out = {now - w.t}
  for i = 1, SLOTS + 1 do
    if w.s[i] > 0 then out[#out + 1] = (i - 1) .. ' ' .. w.s[i] end
  end
  return cat(out, ' ')
end

-- ---- scopes ----

local scopes, fresh = {}, {}
for i, key in ipairs(KEYS) do
  local text = redis.call('GET', key)
  local S = text and cmsgpack.unpack(text)
  if S and S.n > now then now = S.n end
  fresh[i] = not S
  scopes[i] = S or {w = {}, r = {}, c = 0}
end

local function use(S, count)
  for _, w in ipairs(S.w) do add(w, count) end
end
-- Another length since: what was used counts from now on.
local function fit(S, limits)
  for i, limit in ipairs(limits) do
    local w = S.w[i]
    if not w then
      S.w[i] = new_window(limit[2], now, 0)
    elseif w.l ~= limit[2] then
      advance(w)
      S.w[i] = new_window(limit[2], now, w.u)
    end
  end
  for i = #S.w, #limits + 1, -1 do S.w[i] = nil end
end
local function read(text, limits)
  local windows, i = {}, 0
  for part in string.gmatch(text, '[^|]+') do
    i = i + 1
    local w, slot
    for word in string.gmatch(part, '%d+') do
      local v = tonumber(word)
      if not w then
        w = new_window(limits[i][2], now - v, 0)
      elseif not slot then
        slot = v
      else
        w.s[slot + 1], w.u, slot = v, w.u + v, nil
      end
    end
    windows[i] = w
  end
  return windows
end

local at = 3
for i, S in ipairs(scopes) do
  local limits, count = {}, nil
  for word in string.gmatch(ARGV[at + 1], '%d+') do
    if count then
      limits[#limits + 1], count = {count, tonumber(word)}, nil
    else
      count = tonumber(word)
    end
  end
  local theirs = read(ARGV[at + 3], limits)
  if fresh[i] then S.w = read(ARGV[at + 3], limits) end
  fit(S, limits)
  S.n, S.limits, S.theirs = now, limits, theirs
  for id, till in pairs(S.r) do
    if till <= now then
      S.r[id], S.c = nil, S.c - 1
      use(S, 1)
    end
  end
  if not fresh[i] then use(S, tonumber(ARGV[at + 2])) end
  at = at + 3
end

-- ---- the call ----

local out = {}
local function reserve(id)
  local full
  for i, S in ipairs(scopes) do
    for j, w in ipairs(S.w) do
      advance(w)
      local most = S.limits[j][1]
      if w.u + S.c >= most then
        local open = w.u >= most and open_at(w) or now + AGAIN
        if not full or open > full[5] then
          full = {0, i - 1, j - 1, w.u + S.c, open}
        end
      end
    end
  end
  if not full then
    for _, S in ipairs(scopes) do S.r[id], S.c = now + lease, S.c + 1 end
    full = {1, 0, 0, 0, now}
  end
  full[5] = full[5] - now
  for _, v in ipairs(full) do out[#out + 1] = v end
  return full[1] == 1
end
-- Whose lease is over was counted by that.
local function finish(id, counts)
  for _, S in ipairs(scopes) do
    if S.r[id] then
      S.r[id], S.c = nil, S.c - 1
      if counts then use(S, 1) end
    end
  end
end
-- A relay that knows of more, after an outage: then that counts, from now on.
local function join()
  for _, S in ipairs(scopes) do
    for j, w in ipairs(S.w) do
      advance(w)
      advance(S.theirs[j])
      local more = S.theirs[j].u - w.u - S.c
      if more > 0 then w.s[1], w.u = w.s[1] + more, w.u + more end
    end
  end
end
for i = at + 1, #ARGV, 2 do
  local what, id = ARGV[i], relay .. ARGV[i + 1]
  if what == 'R' then reserve(id)
  elseif what == 'T' then if reserve(id) then finish(id, true) end
  elseif what == 'C' then finish(id, true)
  elseif what == 'X' then finish(id, false)
  elseif what == 'J' then join()
  end
end

for i, S in ipairs(scopes) do
  local ttl, text = lease, {}
  for j, w in ipairs(S.w) do
    advance(w)
    text[j] = write(w)
    if w.l + lease > ttl then ttl = w.l + lease end
  end
  S.limits, S.theirs = nil, nil
  redis.call('SET', KEYS[i], cmsgpack.pack(S), 'PX', ttl)
  out[#out + 1] = cat(text, '|')
end
return out
