-- Wireshark's dissector for frames of ucx-usb4, as UCX_USB4_TRACE records them (link type USER0).
--
--   tshark -X lua_script:usb4.lua -r job.pcap          or, in Wireshark: copy it into the personal Lua plugins folder
--
-- The layout is that of ucx-usb4/wire, and a test (usb4ctl's tests/dissector.rs) holds the two together.

local usb4 = Proto("usb4", "ucx-usb4 frame")

-- What the recorder puts before a frame.
local PREFIX_LEN, HEADER_LEN = 4, 40

local KINDS = {
  [1] = "Connect", [2] = "Accept", [3] = "Reset", [4] = "Ack", [5] = "Probe", [6] = "Close", [7] = "CloseAck",
  [8] = "Refuse", [9] = "RefuseAck",
  [16] = "Am", [17] = "Put", [18] = "GetRequest", [19] = "GetResponse", [20] = "AtomicRequest", [21] = "AtomicResponse",
}
local DIRECTIONS = { [0] = "sent", [1] = "received" }
local ATOMICS = { [1] = "Add", [2] = "And", [3] = "Or", [4] = "Xor", [5] = "Swap", [6] = "CompareSwap" }

-- Each field begins where the one before it ends.
local LENGTHS = { uint8 = 1, uint16 = 2, uint32 = 4, uint64 = 8 }

-- Lists of fields: name, type, format, title, names of values.
local PREFIX = {
  { "direction", "uint8", base.DEC, "Direction", DIRECTIONS },
  { "rail", "uint8", base.DEC, "Rail" },
}
local HEADER = {
  { "version", "uint8", base.DEC, "Version" },
  { "kind", "uint8", base.DEC, "Kind", KINDS },
  { "flags", "uint8", base.HEX, "Flags" },
  { "hop_limit", "uint8", base.DEC, "Hop limit" },
  { "payload_len", "uint16", base.DEC, "Payload length" },
  { "check", "uint16", base.HEX, "Check" },
  { "dst_node", "uint32", base.HEX, "Destination node" },
  { "src_node", "uint32", base.HEX, "Source node" },
  { "dst_channel", "uint16", base.DEC, "Destination channel" },
  { "src_channel", "uint16", base.DEC, "Source channel" },
  { "window", "uint16", base.DEC, "Window" },
  { "word", "uint16", base.DEC, "Word" },
  { "token", "uint64", base.HEX, "Token" },
  { "psn", "uint32", base.HEX, "Number" },
  { "ack", "uint32", base.HEX, "Acknowledges everything before" },
}
-- Each flag is a bit of its own, whatever the kind.
local FLAGS = { "FIRST", "LAST", "FENCE", "ACK_REQUEST", "FETCH", "GOING_AWAY", "AGREED" }

local function key(of) return { of .. ".key", "uint64", base.HEX, "Key" } end
local function address(of) return { of .. ".remote_addr", "uint64", base.HEX, "Remote address" } end
local function operation(of) return { of .. ".op", "uint32", base.DEC, "Operation" } end
local function reason(of) return { of .. ".reason", "uint8", base.DEC, "Reason" } end

local HANDSHAKE = {
  { "handshake.incarnation", "uint64", base.HEX, "Incarnation" },
  { "handshake.peer_incarnation", "uint64", base.HEX, "Peer's incarnation" },
  { "handshake.token", "uint64", base.HEX, "Token to use" },
  { "handshake.serial", "uint32", base.DEC, "Serial" },
}
-- By kind: what the payload begins with.
local BODIES = {
  Connect = HANDSHAKE,
  Accept = HANDSHAKE,
  Reset = {
    { "reset.refused", "uint64", base.HEX, "Refused token" },
    { "reset.incarnation", "uint64", base.HEX, "Incarnation" },
    reason("reset"),
  },
  Refuse = { operation("refusal"), reason("refusal") },
  Put = { key("put"), address("put"), operation("put") },
  GetRequest = { key("get"), address("get"), { "get.len", "uint64", base.DEC, "Length" }, operation("get") },
  GetResponse = { { "get_response.offset", "uint64", base.DEC, "Offset" }, operation("get_response") },
  AtomicRequest = {
    key("atomic"),
    address("atomic"),
    { "atomic.operand", "uint64", base.HEX, "Operand" },
    { "atomic.compare", "uint64", base.HEX, "Comparand" },
    operation("atomic"),
    { "atomic.code", "uint8", base.DEC, "Code", ATOMICS },
    { "atomic.width", "uint8", base.DEC, "Bytes" },
  },
  AtomicResponse = { { "atomic_response.old", "uint64", base.HEX, "Old value" }, operation("atomic_response") },
}

local fields = {}

local function declare(list)
  for _, entry in ipairs(list) do
    local name, kind, format, title, values = table.unpack(entry)
    if not fields[name] then
      fields[name] = ProtoField[kind]("usb4." .. name, title, format, values)
    end
  end
end

declare(PREFIX)
declare(HEADER)
for _, body in pairs(BODIES) do
  declare(body)
end
for number, name in ipairs(FLAGS) do
  fields[name] = ProtoField.bool("usb4.flags." .. name:lower(), name, 8, nil, 2 ^ (number - 1))
end
fields.payload = ProtoField.bytes("usb4.payload", "Payload")
for _, field in pairs(fields) do
  table.insert(usb4.fields, field)
end
local short = ProtoExpert.new("usb4.short", "The record is too short", expert.group.MALFORMED, expert.severity.ERROR)
usb4.experts = { short }

-- Adds the fields of a list to a tree; false where the bytes end before.
local function add(tree, list, bytes)
  local offset = 0
  for _, entry in ipairs(list) do
    local name, length = entry[1], LENGTHS[entry[2]]
    if offset + length > bytes:len() then
      tree:add_proto_expert_info(short)
      return false
    end
    tree:add_le(fields[name], bytes(offset, length))
    offset = offset + length
  end
  return true
end

function usb4.dissector(bytes, pinfo, root)
  pinfo.cols.protocol = "usb4"
  local tree = root:add(usb4, bytes())
  if bytes:len() < PREFIX_LEN + HEADER_LEN then
    tree:add_proto_expert_info(short)
    return
  end
  add(tree, PREFIX, bytes(0, PREFIX_LEN):tvb())
  local header = bytes(PREFIX_LEN, HEADER_LEN):tvb()
  add(tree, HEADER, header)
  for _, name in ipairs(FLAGS) do
    tree:add(fields[name], header(2, 1))
  end
  local number = header(1, 1):uint()
  local kind = KINDS[number] or ("unknown kind " .. number)
  local address = function(node, channel)
    return string.format("n%x.c%d", header(node, 4):le_uint(), header(channel, 2):le_uint())
  end
  pinfo.cols.src, pinfo.cols.dst = address(12, 18), address(8, 16)
  pinfo.cols.info = string.format("%s %s, %d bytes, psn 0x%x, ack 0x%x, rail %d", DIRECTIONS[bytes(0, 1):uint()] or "?", kind,
    header(4, 2):le_uint(), header(32, 4):le_uint(), header(36, 4):le_uint(), bytes(1, 1):uint())
  if bytes:len() > PREFIX_LEN + HEADER_LEN then
    local payload = bytes(PREFIX_LEN + HEADER_LEN)
    local subtree = tree:add(fields.payload, payload)
    if BODIES[kind] then
      add(subtree, BODIES[kind], payload:tvb())
    end
  end
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, usb4)
