"""Independent pieces of work over executors, and a store of what is finished."""
