{
  "target_defaults": {
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": ["-std=c++20", "-fexceptions", "-Wall", "-Wextra", "-Wshadow", "-Wconversion"]
  },
  "variables": {
    "core": [
      "native/core/append_log.cpp",
      "native/core/cause.cpp",
      "native/core/clock.cpp",
      "native/core/error.cpp",
      "native/core/escape.cpp",
      "native/core/group_commit.cpp",
      "native/core/listener.cpp",
      "native/core/passing.cpp",
      "native/core/protocol.cpp",
      "native/core/scoreboard.cpp"
    ]
  },
  "targets": [
    {
      "target_name": "kilofork",
      "sources": [
        "<@(core)",
        "native/core/in_flight.cpp",
        "native/core/listen_queue.cpp",
        "native/core/load_engine.cpp",
        "native/addon/addon.cpp",
        "native/addon/convert.cpp",
        "native/addon/load_objects.cpp",
        "native/addon/log_object.cpp",
        "native/addon/notify.cpp",
        "native/addon/scoreboard_object.cpp",
        "native/addon/spawn.cpp"
      ],
      "cflags_cc": ["-isystem", "<!(node -p \"require('node:path').resolve(require('node-addon-api').include_dir)\")"],
      # The last: a thread that is being ended in the middle of a call can be thrown nothing.
      "defines": ["NAPI_VERSION=8", "NAPI_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"]
    },
    {
      "target_name": "kilofork-supervisor",
      "type": "executable",
      "product_extension": "",
      "sources": [
        "<@(core)",
        "native/core/child.cpp",
        "native/core/child_log.cpp",
        "native/core/connection.cpp",
        "native/core/control.cpp",
        "native/core/footprint.cpp",
        "native/core/fork_server.cpp",
        "native/core/handover.cpp",
        "native/core/lockdown.cpp",
        "native/core/log_handoff.cpp",
        "native/core/log_keeper.cpp",
        "native/core/memory.cpp",
        "native/core/pool.cpp",
        "native/core/roster.cpp",
        "native/core/sizing.cpp",
        "native/core/spawn_record.cpp",
        "native/core/syncer.cpp",
        "native/core/turn_away.cpp",
        "native/supervisor/main.cpp"
      ],
      "cflags_cc!": ["-fPIC"],
      "cflags!": ["-fPIC"],
      "cflags_cc": ["-fno-pie", "<!@(echo ${KILOFORK_UNFILTERED:+-DKILOFORK_UNFILTERED})"],
      "ldflags!": ["-rdynamic"],
      "ldflags": ["-static", "-no-pie"]
    }
  ]
}
