"""Who dropped them, when only the ends of paths were seen: path counts in, suspects out.

Each method is a small pure module with `locate(counts, ...)`; `likelihood` is the one that runs.
"""
