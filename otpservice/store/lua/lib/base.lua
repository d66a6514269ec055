-- What every script may need. All times are milliseconds of the server's clock; the offset that
-- scripts take as their first argument is 0 outside tests.

local HOUR = 3600000
local DAY = 24 * HOUR
local OPT_OUT_KEPT = 400 * DAY -- after its last use

local function whole(n)
  return string.format('%.0f', n)
end

local function clock(offset)
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000) + tonumber(offset)
end

local function read(key)
  local flat = redis.call('HGETALL', key)
  local hash = {}
  for i = 1, #flat, 2 do
    hash[flat[i]] = flat[i + 1]
  end
  return hash
end

local function number(hash, field)
  return tonumber(hash[field] or '0')
end

-- The key of another kind ('p', 's', 'v') under the same hash tag.
local function sibling(key, kind, name)
  return string.match(key, '^otp:{%x+}:') .. kind .. ':' .. name
end
