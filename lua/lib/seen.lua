--@include lib/batch.lua
--@include lib/clock.lua
-- remember_id(seen_prefix, window_ms, id, status, options): keeps a finished client-made id known for the window, so
-- that a repeated request is noticed: "<status> <fingerprint>", one small key that expires.
local function remember_id(seen_prefix, window_ms, id, status, options)
  if window_ms > 0 and options and options.f then
    redis.call("SET", seen_prefix .. id, status .. " " .. options.f, "PX", px_of(window_ms))
  end
end

-- is_known(key): whether the key of a finished client-made id is there.
local function is_known(key)
  return redis.call("EXISTS", key) == 1 and not has_ended(key)
end

-- finished_fingerprints(seen_prefix, ids): by id, the fingerprints of those that are still known.
local function finished_fingerprints(seen_prefix, ids)
  local prints, keys = {}, {}
  for i = 1, #ids do keys[i] = seen_prefix .. ids[i] end
  in_slices(keys, 1, function(first, last)
    local found = redis.call("MGET", unpack(keys, first, last))
    for i = first, last do
      local status = found[i - first + 1]
      if status and not has_ended(keys[i]) then prints[ids[i]] = string.match(status, " (.*)$") end
    end
  end)
  return prints
end
