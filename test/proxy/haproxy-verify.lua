-- Asks ticketgate whether a request may pass, and adds the ticket headers. Any reply other than 204 ends it.
local gate = "http://127.0.0.1:8080/verify"

core.register_action("ticketgate", { "http-req" }, function(txn)
  local client = txn.http:req_get_headers()
  local headers = {
    ["x-original-uri"] = { txn.sf:pathq() },
    -- For the origin check, and for tickets bound to an address: TICKETGATE_TRUSTED_PROXIES must include this proxy.
    ["x-forwarded-for"] = { txn.sf:src() },
    ["x-forwarded-proto"] = { txn.sf:ssl_fc() == "1" and "https" or "http" },
  }
  for _, name in ipairs({ "host", "origin", "sec-websocket-protocol", "authorization" }) do
    if client[name] then
      headers[name] = {}
      for i = 0, #client[name] do headers[name][i + 1] = client[name][i] end
    end
  end
  local reply = core.httpclient():get({ url = gate, headers = headers, timeout = 2000 })
  if reply.status ~= 204 then
    local refusal = txn:reply({ status = reply.status > 0 and reply.status or 502, body = reply.body })
    for _, name in ipairs({ "content-type", "retry-after", "www-authenticate" }) do
      if reply.headers and reply.headers[name] then refusal:add_header(name, reply.headers[name][0]) end
    end
    txn:done(refusal)
  end
  for name, values in pairs(reply.headers) do
    if name:find("^x%-ticket%-") then txn.http:req_set_header(name, values[0]) end
  end
end)
