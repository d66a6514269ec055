-- Spend one of a quota that is no phone's: an address's, a block's, an app's.
-- KEYS  quota
-- ARGV  offset, member, 'spend', 'record' (spend it even if there is no room) or 'preview', quota
local now = clock(ARGV[1])
local member, mode = ARGV[2], ARGV[3]
local refusal = refusing_quota(KEYS[1], now, 4)
if redis.call('ZSCORE', KEYS[1], member) then
  return { 'ok', room(KEYS[1], now, 4) } -- the answer to this call was lost
end
if mode == 'record' or (mode == 'spend' and not refusal) then
  spend(KEYS[1], now, member, 4)
end
if refusal then
  return { 'over', refusal[1], refusal[2], refusal[3] }
end
return { 'ok', room(KEYS[1], now, 4) }
