"""Engine processes: templates run in processes that hold nothing of the gateway's.

`fork_server` runs in a process of its own and forks the engine processes; `engine_process` is the
gateway's side of one.
"""
