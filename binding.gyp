{
  "target_defaults": {
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": ["-std=c++20", "-fexceptions", "-Wall", "-Wextra", "-Wshadow", "-Wconversion"],
    "include_dirs": ["native/core"]
  },
  # Both programs name rooms of native/core; scripts/rooms.mjs finds their sources.
  "targets": [
    {
      "target_name": "kilofork",
      "sources": [
        "<!@(node scripts/rooms.mjs base process net shm log load)",
        "native/addon/addon.cpp",
        "native/addon/convert.cpp",
        "native/addon/enumerations.cpp",
        "native/addon/load_objects.cpp",
        "native/addon/log_object.cpp",
        "native/addon/notify.cpp",
        "native/addon/scoreboard_object.cpp",
        "native/addon/spawn.cpp"
      ],
      # What no class of the addon reaches is left out: rooms are named whole.
      "cflags": ["-fvisibility=hidden", "-ffunction-sections"],
      "ldflags": ["-Wl,--gc-sections"],
      # From the folder build, and relative: make splits a path at its blanks.
      "cflags_cc": ["-isystem", "../<!(node -p \"require('node-addon-api').include_dir\")"],
      # The last: a thread that is being ended in the middle of a call can be thrown nothing.
      "defines": ["NAPI_VERSION=8", "NAPI_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"]
    },
    {
      "target_name": "kilofork-supervisor",
      "type": "executable",
      "product_extension": "",
      "sources": [
        "<!@(node scripts/rooms.mjs base process net shm log keeper child supervisor)",
        "native/supervisor/main.cpp"
      ],
      "cflags_cc!": ["-fPIC"],
      "cflags!": ["-fPIC"],
      "cflags_cc": ["-fno-pie", "<!@(echo ${KILOFORK_UNFILTERED:+-DKILOFORK_UNFILTERED})"],
      "ldflags!": ["-rdynamic"],
      "ldflags": ["<!@(node scripts/supervisor-link.mjs)"]
    }
  ]
}
