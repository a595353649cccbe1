"""A node and its accounts; times are in seconds."""

NODE = 7
ACCOUNTS = {"pixel1": "account1", "pixel2": "account2", "pixel3": "account2"}
ALL = '["account1","account2"]'
LEASE = 8.0
SHARE_OUT_EVERY = 2.0
FOREVER = 3_600.0
