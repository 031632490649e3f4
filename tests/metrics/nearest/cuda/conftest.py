from importlib.util import find_spec

# So that the tests that need a GPU can be collected on a machine without the extra dev.
collect_ignore = [] if find_spec("hypothesis") else ["test_search.py", "test_reductions.py"]
