"""Engine processes: templates run in processes without access to the gateway's data.

`fork_server` runs in a separate process and forks the engine processes; `engine_process` is the
gateway's side of one.
"""
