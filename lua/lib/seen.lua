-- remember_id(seen_prefix, window_ms, id, status, options): a finished client-made id stays known for the
-- window, so that sending it again is noticed: "<status> <fingerprint>", one small key that ends by itself.
local function remember_id(seen_prefix, window_ms, id, status, options)
  if window_ms > 0 and options and options.f then
    redis.call("SET", seen_prefix .. id, status .. " " .. options.f, "PX", window_ms)
  end
end
