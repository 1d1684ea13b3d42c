"""States of frozen stages on disk: `key` names them, `store` is the folder of them, `features` their shards.

Nothing is imported here: `mmtransfer cache ls` must not wait for torch.
"""
