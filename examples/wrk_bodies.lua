-- SPDX-License-Identifier: MIT
--
-- wrk_bodies - for wrk: compares every answer with the body that is expected, and prints one line of counts.
--
--     wrk -s wrk_bodies.lua http://ADDRESS/ -- 'hello, world'
--
-- The expected body is the argument and a newline. wrk itself only looks at the status.

local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

-- Each thread of wrk has an interpreter of its own; `done` reads these of all of them.
function init(arguments)
    expected = (arguments[1] or "hello, world") .. "\n"
    right = 0
    wrong = 0
end

function response(status, headers, body)
    if status == 200 and body == expected then
        right = right + 1
    else
        wrong = wrong + 1
    end
end

function done(summary, latency, requests)
    local all_right, all_wrong, errors = 0, 0, summary.errors
    for _, thread in ipairs(threads) do
        all_right = all_right + thread:get("right")
        all_wrong = all_wrong + thread:get("wrong")
    end
    io.write(string.format("right=%d wrong=%d connect_errors=%d read_errors=%d write_errors=%d timeouts=%d\n",
        all_right, all_wrong, errors.connect, errors.read, errors.write, errors.timeout))
end
