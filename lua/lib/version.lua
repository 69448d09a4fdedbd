-- version_matches(if_match, options): whether a client accepts a message's version: "" and "*" accept any, else
-- versions separated by commas.
local function version_matches(if_match, options)
  if if_match == "" or if_match == "*" then return true end
  local version = tostring(options and options.v or 1)
  return string.find("," .. if_match .. ",", "," .. version .. ",", 1, true) ~= nil
end
